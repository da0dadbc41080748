package scale_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// fleet is clients of servers of a registry.
type fleet struct {
	*registry
	*network
	pools         []*core.Pool[*conn]
	calls, failed atomic.Int64
	stop          context.CancelFunc
	callers       sync.WaitGroup
}

// newFleet makes pools, which know nothing yet. They end with the test, or with end.
func newFleet(t *testing.T, clients, servers, zones int, opts func(i int) []core.Option) *fleet {
	t.Helper()
	w := newNetwork(servers)
	f := &fleet{network: w, registry: newRegistry(w.endpoints(zones)), stop: func() {}}
	for i := range clients {
		all := []core.Option{core.MaxEndpoints(servers)}
		if opts != nil {
			all = append(all, opts(i)...)
		}
		p, err := core.New(f.registry, w, all...)
		if err != nil {
			t.Fatal(err)
		}
		f.pools = append(f.pools, p)
	}
	return f
}

// warm gives each client a connection to every server.
func (f *fleet) warm(t *testing.T) {
	t.Helper()
	for _, p := range f.pools {
		for _, addr := range f.addrs {
			l, err := p.Get(t.Context(), core.WithEndpoint(addr))
			if err != nil {
				t.Fatal(err)
			}
			_ = l.Release()
		}
	}
}

// call has each client make so many calls a second, at random moments, until end.
func (f *fleet) call(t *testing.T, perSecond float64) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	f.stop = stop
	for i, p := range f.pools {
		r := rand.New(rand.NewPCG(1, uint64(i)))
		f.callers.Go(func() {
			var calls sync.WaitGroup
			for wait(ctx, time.Duration(r.ExpFloat64()*float64(time.Second)/perSecond)) == nil {
				calls.Go(func() { f.one(p) })
			}
			calls.Wait()
		})
	}
}

// one makes a call that may be repeated.
func (f *fleet) one(p *core.Pool[*conn]) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := p.Do(ctx, func(ctx context.Context, c *conn) error { return c.call(ctx) }, core.Attempts(3))
	f.calls.Add(1)
	if err != nil {
		f.failed.Add(1)
	}
}

// end ends the calls and the pools.
func (f *fleet) end(t *testing.T) {
	t.Helper()
	f.stop()
	f.callers.Wait()
	for _, p := range f.pools {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

// shares returns the least and the largest number of calls of a server in so much time, as parts of the mean.
func (f *fleet) shares(during time.Duration) (least, most float64) {
	before := map[string]int64{}
	for addr, s := range f.servers {
		before[addr] = s.calls.Load()
	}
	time.Sleep(during)
	var sum, lo, hi int64 = 0, 1 << 62, 0
	for addr, s := range f.servers {
		n := s.calls.Load() - before[addr]
		sum, lo, hi = sum+n, min(lo, n), max(hi, n)
	}
	mean := float64(sum) / float64(len(f.servers))
	return float64(lo) / mean, float64(hi) / mean
}

// connections returns the mean and the largest number of connections of a server.
func (f *fleet) connections() (mean float64, most int64) {
	sum := int64(0)
	for _, s := range f.servers {
		n := s.conns.Load()
		sum, most = sum+n, max(most, n)
	}
	return float64(sum) / float64(len(f.servers)), most
}
