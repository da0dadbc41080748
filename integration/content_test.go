package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
)

func TestAMalformedEntryHoldsUpNoOther(t *testing.T) {
	eachRegistry(t, faults, "malformed entries among good ones: skipped, and the rest is followed",
		func(t *testing.T, reg *registry, rec *record) {
			r := newFleetRig(t, reg)
			try(t, func(ctx context.Context) error { return reg.raw.putMalformed(ctx, r.path) })
			extra := startServer(t)
			try(t, func(ctx context.Context) error { return reg.raw.put(ctx, r.path, endpoints(extra.addr)...) })
			put := time.Now()
			r.awaitPool("the new server in the pool", 10*time.Second, append(addrs(r.fleet), extra.addr)...)
			rec.figure("a server added after them was in the pool after %s", ms(time.Since(put)))
			// And a watch that begins among them.
			r.awaitEntries(append(addrs(r.fleet), extra.addr)...)
			r.settled(extra)
		})
}

func TestAPathThatIsRemovedAndMadeAgainIsSeen(t *testing.T) {
	eachRegistry(t, faults, "path deleted and made again: empty, then seen",
		func(t *testing.T, reg *registry, rec *record) {
			r := newRawRig(t, reg, core.RemovalGrace(0))
			r.load.stop() // there are times without servers
			var longest time.Duration
			for range 3 {
				try(t, func(ctx context.Context) error { return reg.raw.removeAll(ctx, r.path) })
				r.awaitPool("an empty pool", 5*time.Second)
				try(t, func(ctx context.Context) error { return reg.raw.put(ctx, r.path, endpoints(addrs(r.fleet)...)...) })
				made := time.Now()
				r.awaitPool("the servers in the pool", 5*time.Second, addrs(r.fleet)...)
				longest = max(longest, time.Since(made))
			}
			rec.figure("seen %s after it was made, the longest of 3", ms(longest))
		})
}

func TestEndpointsThatVanishAllAtOnceAreKeptForAWhile(t *testing.T) {
	const grace = 3 * time.Second
	eachRegistry(t, faults, "all entries vanish at once, the servers still run: kept for RemovalGrace (3 s here), and called meanwhile",
		func(t *testing.T, reg *registry, rec *record) {
			if reg.scheme == "k8s" {
				rec.notApplicable("servers with different ports have a slice each, which vanish one after the other")
			}
			r := newRawRig(t, reg, core.RemovalGrace(grace))
			try(t, func(ctx context.Context) error { return reg.raw.removeAll(ctx, r.path) })
			vanished := time.Now()
			pause(t, grace/2)
			r.unharmed(addrs(r.fleet)...)
			r.awaitPool("an empty pool", 2*grace)
			kept := time.Since(vanished)
			if kept < grace-100*time.Millisecond {
				t.Errorf("kept for %v only", kept)
			}
			rec.figure("kept for %s", ms(kept))
		})
}

func TestAFlappingEndpointDisturbsNoOther(t *testing.T) {
	eachRegistry(t, faults, "an instance flaps 20 times: connections of the others are untouched, and no call fails",
		func(t *testing.T, reg *registry, rec *record) {
			r := newFleetRig(t, reg)
			extra := startServer(t)
			eventually(t, "calls to all", 5*time.Second, r.allServed)
			before := dials(r.pool.Stats(), extra.addr)
			for i := range 20 {
				try(t, func(ctx context.Context) error {
					if i%2 == 0 {
						return reg.raw.put(ctx, r.path, endpoints(extra.addr)...)
					}
					return reg.raw.remove(ctx, r.path, extra.addr)
				})
			}
			r.awaitPool("the fleet alone in the pool", 10*time.Second, addrs(r.fleet)...)
			r.load.check(t, addrs(r.fleet)...)
			st := r.pool.Stats()
			rec.figure("%d connections opened to the others", dials(st, extra.addr)-before)
			if closed := closedBy(st, extra.addr); closed > 0 {
				t.Errorf("%d connections of other servers were closed", closed)
			}
		})
}

func dials(st core.Stats, except string) (n uint64) {
	for _, e := range st.Endpoints {
		if e.Endpoint.Addr != except {
			n += e.Dials
		}
	}
	return n
}

func closedBy(st core.Stats, except string) (n uint64) {
	for _, e := range st.Endpoints {
		if e.Endpoint.Addr != except {
			n += e.Closed
		}
	}
	return n
}

func TestARevokedPermissionIsAnErrorAndCostsNoEndpoint(t *testing.T) {
	eachRegistry(t, faults, "permission revoked: an error, the set is kept; with permission it goes on",
		func(t *testing.T, reg *registry, rec *record) {
			r := newRig(t, reg)
			var res restricted
			try(t, func(ctx context.Context) (err error) {
				res, err = reg.raw.restrict(ctx, r.path)
				return err
			})
			t.Cleanup(func() {
				if err := res.done(context.Background()); err != nil {
					t.Errorf("undoing the restriction: %v", err)
				}
			})
			r.fleet = startFleet(t, 4, "")
			put := func(addrs ...string) {
				t.Helper()
				try(t, func(ctx context.Context) error { return reg.raw.put(ctx, r.path, endpoints(addrs...)...) })
			}
			put(addrs(r.fleet)...)
			r.watch(r.watcherURL(res.userinfo, res.params))
			r.awaitPool("the servers in the pool", 10*time.Second, addrs(r.fleet)...)
			r.call()

			try(t, res.revoke)
			extra := startServer(t)
			put(extra.addr)
			// Some are refused with the next question, others with the next
			// connection only.
			revoked := time.Now()
			r.link(func(p *discoverytest.Proxy) error { p.Break(); return nil })
			r.awaitState(core.StateStale, 20*time.Second)
			told := time.Since(revoked)
			t.Logf("it says: %v", r.pool.Stats().LastWatch)
			for _, s := range r.fleet {
				if got := poolAddrs(r.pool.Stats()); !slices.Contains(got, s.addr) {
					t.Errorf("without permission the pool has %q, and not %s", got, s.addr)
				}
			}
			try(t, res.grant)
			granted := time.Now()
			r.awaitPool("the new server in the pool", 60*time.Second, append(addrs(r.fleet), extra.addr)...)
			rec.figure("Stale after %s; a server added meanwhile was in the pool %s after the permission", ms(told), ms(time.Since(granted)))
			r.fleet = append(r.fleet, extra)
			eventually(t, "calls to all", 5*time.Second, r.allServed)
			r.unharmed(addrs(r.fleet)...)
		})
}

func TestALongListThatIsCutIsNeverTakenForComplete(t *testing.T) {
	const servers, cuts = 2001, 40
	eachRegistry(t, faults, fmt.Sprintf("connection cut somewhere in a list of %d, %d times: no watch reports less", servers, cuts),
		func(t *testing.T, reg *registry, rec *record) {
			r := newRig(t, reg)
			try(t, func(ctx context.Context) error { return reg.raw.put(ctx, r.path, many(servers)...) })
			before := r.fromServer()
			o := observe(t, r.watcherURL("", ""))
			complete := func(set []core.Endpoint) bool { return len(set) == servers }
			o.await(t, "the complete list", 20*time.Second, complete)
			size := r.fromServer() - before
			o.stop()
			seen := 0
			for range cuts {
				var were []<-chan struct{}
				at := rand.Int64N(size)
				for _, p := range r.proxies {
					were = append(were, p.CutAfter(at))
				}
				o := observe(t, r.watcherURL("", ""))
				o.await(t, "the complete list", 20*time.Second, complete)
				if o.least != servers {
					t.Fatalf("cut after %d of %d bytes: %d endpoints were reported", at, size, o.least)
				}
				o.stop()
				if slices.ContainsFunc(were, closed) {
					seen++
				}
				r.link((*discoverytest.Proxy).Heal)
			}
			if seen < cuts/2 {
				t.Errorf("only %d of %d watches were cut", seen, cuts)
			}
			rec.figure("%d of %d watches were cut within %d bytes, all lists complete", seen, cuts, size)
		})
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (r *rig) fromServer() (n int64) {
	for _, p := range r.proxies {
		n += p.Traffic().FromServer
	}
	return n
}

// many returns endpoints that nobody serves.
func many(n int) []core.Endpoint {
	eps := make([]core.Endpoint, 0, n)
	for i := range n {
		eps = append(eps, core.Endpoint{Addr: fmt.Sprintf("10.%d.%d.%d:9090", i>>16, i>>8&255, i&255)})
	}
	return eps
}
