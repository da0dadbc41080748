package balance_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

// writeKeys writes how many keys move when one server leaves or comes.
func writeKeys(t *testing.T, out io.Writer, all []arm, _ time.Duration) {
	t.Helper()
	const keys = 2000
	fmt.Fprintf(out, `
## Keys that move when the set changes by one

Twenty servers, four of each weight from 1 to 5; %d keys. A server leaves and comes back. "Ideal" is the keys that it has;
"others" are keys that moved between servers that stay, when it left.

| balancer | weight 1 leaves: moved / ideal | others | weight 5 leaves: moved / ideal | others | back where they were |
|---|--:|--:|--:|--:|--:|
`, keys)
	for _, a := range all {
		var weights []float64
		for k := range 20 {
			weights = append(weights, float64(1+k%5))
		}
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, a, 0, weights...)
			fmt.Fprintf(out, "| %s |", a.name)
			back := 0
			for _, leaves := range []int{5, 9} {
				whole := f.endpoints(weights...)
				before := f.owners(t, keys)
				f.set(t, slices.Delete(slices.Clone(whole), leaves, leaves+1))
				after := f.owners(t, keys)
				f.set(t, whole)
				again := f.owners(t, keys)
				ideal, others := 0, 0
				for k, owner := range before {
					if owner == f.addrs[leaves] {
						ideal++
					} else if after[k] != owner {
						others++
					}
					if again[k] == owner {
						back++
					}
				}
				if ideal == 0 { // Twemproxy's hash of the keys leaves servers without any
					fmt.Fprintf(out, " none | %d |", others)
				} else {
					fmt.Fprintf(out, " %.2f | %d |", float64(ideal+others)/float64(ideal), others)
				}
			}
			fmt.Fprintf(out, " %.0f %% |\n", 100*float64(back)/(2*keys))
		})
	}
}

// owners returns the server of each key, by a call with it.
func (f *fleet) owners(t *testing.T, keys int) []string {
	t.Helper()
	all := make([]string, keys)
	for k := range all {
		l, err := f.pool.Get(t.Context(), core.WithKey(fmt.Sprint("user:", k)))
		if err != nil {
			t.Fatal(err)
		}
		all[k] = l.Endpoint().Addr
		if err := l.End(l.Conn().call()); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// set changes the set, and waits until all pools of the test have it.
func (f *fleet) set(t *testing.T, eps []core.Endpoint) {
	t.Helper()
	if err := f.list.Set(eps...); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	if f.pool.Len() != len(eps) {
		t.Fatalf("the pool knows %d servers of %d", f.pool.Len(), len(eps))
	}
}

// writeSubset writes how many connections clients have that use a part of the servers each.
func writeSubset(t *testing.T, out io.Writer, _ []arm, _ time.Duration) {
	t.Helper()
	const clients, servers = 20, 100
	fmt.Fprintf(out, `
## Connections of %d clients with Subset

Each client is a pool with Subset(index, %d, RoundRobin()) over up to %d servers, and makes calls until it has called each server
that it uses.

| servers | connections | of them opened for the change |
|--:|--:|--:|
`, clients, clients, servers)
	synctest.Test(t, func(t *testing.T) {
		weights := slices.Repeat([]float64{1}, servers)
		f := newFleet(t, arm{new: balance.RoundRobin}, 0, weights...)
		var pools []*core.Pool[conn]
		for k := range clients {
			pools = append(pools, f.newPool(t, arm{new: func() balance.Balancer { return balance.Subset(k, clients, balance.RoundRobin()) }}))
		}
		used := make([]map[string]bool, clients)
		for _, n := range []int{100, 99, 98, 99, 100} {
			f.set(t, f.endpoints(weights[:n]...))
			total, opened := 0, 0
			for k, p := range pools {
				now := map[string]bool{}
				for range servers {
					if err := p.Do(t.Context(), func(_ context.Context, c conn) error {
						now[c.addr] = true
						return c.call()
					}); err != nil {
						t.Fatal(err)
					}
				}
				for addr := range now {
					if !used[k][addr] {
						opened++
					}
				}
				used[k] = now
				total += len(now)
			}
			fmt.Fprintf(out, "| %d | %d | %d |\n", n, total, opened)
		}
	})
}
