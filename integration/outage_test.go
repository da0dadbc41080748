package integration

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
)

func TestALongOutageOfTheRegistryCostsNothing(t *testing.T) {
	eachRegistry(t, faults, "down for longer than sessions, leases and patience last: the set is kept, Stale, and all come back by themselves",
		func(t *testing.T, reg *registry, rec *record) {
			r := newFleetRig(t, reg)
			services := r.cluster.Services(reg.service)
			try(t, func(ctx context.Context) error { return r.cluster.Kill(ctx, services...) })
			down := time.Now()
			stale := r.awaitState(core.StateStale, 20*time.Second)
			pause(t, 15*time.Second-time.Since(down))
			try(t, func(ctx context.Context) error { return r.cluster.Start(ctx, services...) })
			length := time.Since(down)
			r.awaitCluster()
			up := time.Now()
			r.awaitPool("the pool as it was", 45*time.Second, addrs(r.fleet)...)
			back := time.Since(up)
			awaitRegistered(t, r.fleet, 45*time.Second)
			registered := time.Since(up)
			rec.figure("Stale after %s; after %s down the watch was back in %s", ms(stale), ms(length), ms(back))
			if len(r.register) > 0 {
				rec.figure("all registrars in %s", ms(registered))
			}
			// Nothing follows from what was before: a newcomer is seen.
			extra := startServer(t)
			r.join(extra)
			r.awaitPool("a newcomer in the pool", 10*time.Second, append(addrs(r.fleet), extra.addr)...)
			r.settled(extra)
		})
}

func TestARegistryThatComesBackEmptyIsDoubted(t *testing.T) {
	eachRegistry(t, faults, "comes back wiped, knowing nothing, with its counters at zero: no call fails, and all register again",
		func(t *testing.T, reg *registry, rec *record) {
			r := newFleetRig(t, reg)
			services := r.cluster.Services(reg.service)
			try(t, func(ctx context.Context) error { return r.cluster.Wipe(ctx, services...) })
			r.awaitCluster()
			up := time.Now()
			if k, ok := reg.raw.(rawKubernetes); ok { // whose controllers begin anew
				insist(t, "the namespace", k.begin)
				r.list(r.fleet...)
			}
			// They were registered before too: a newcomer tells that the watch is.
			extra := startServer(t)
			r.join(extra)
			r.awaitPool("a newcomer in the pool", 60*time.Second, append(addrs(r.fleet), extra.addr)...)
			rec.figure("a newcomer was in the pool %s after it was up", ms(time.Since(up)))
			r.awaitEntries(append(addrs(r.fleet), extra.addr)...)
			rec.figure("the registry had all after %s", ms(time.Since(up)))
			r.settled(extra)
		})
}

// awaitEntries waits until another watcher, which knows nothing of before, sees
// these servers and no other.
func (r *rig) awaitEntries(want ...string) {
	r.t.Helper()
	var hosts []string
	for _, s := range r.registry.watch {
		hosts = append(hosts, r.cluster.Addr(s))
	}
	o := observe(r.t, r.url("", hosts, r.path, ""))
	o.await(r.t, "all entries in the registry", 45*time.Second, func(set []core.Endpoint) bool { return sameAddrs(set, want) })
}

func TestAClientThatIsCutOffGoesOn(t *testing.T) {
	eachRegistry(t, faults, "the client alone is cut off from the registry, servers are fine: Stale, the set is kept, and nothing of the time between is missed",
		func(t *testing.T, reg *registry, rec *record) {
			r := newFleetRig(t, reg)
			r.link(cutLink)
			stale := r.awaitState(core.StateStale, 20*time.Second)
			extra := startServer(t)
			try(t, func(ctx context.Context) error { return reg.raw.put(ctx, r.path, endpoints(extra.addr)...) })
			r.link((*discoverytest.Proxy).Heal)
			healed := time.Now()
			r.awaitPool("the new server in the pool", 45*time.Second, append(addrs(r.fleet), extra.addr)...)
			rec.figure("Stale after %s; a server added meanwhile was in the pool %s after the repair", ms(stale), ms(time.Since(healed)))
			r.settled(extra)
		})
}

func TestASessionThatExpiresCostsNothing(t *testing.T) {
	eachRegistry(t, faults, "silence on the client's link until its session has expired: no endpoint is dropped, and a change made meanwhile is seen",
		func(t *testing.T, reg *registry, rec *record) {
			r := newFleetRig(t, reg)
			r.link((*discoverytest.Proxy).Hang)
			extra := startServer(t)
			try(t, func(ctx context.Context) error { return reg.raw.put(ctx, r.path, endpoints(extra.addr)...) })
			pause(t, 4*time.Second) // twice the session
			if got := poolAddrs(r.pool.Stats()); len(got) != len(r.fleet) {
				t.Errorf("during the silence the pool has %q", got)
			}
			r.link((*discoverytest.Proxy).Heal)
			healed := time.Now()
			r.awaitPool("the new server in the pool", 30*time.Second, append(addrs(r.fleet), extra.addr)...)
			rec.figure("%s after the repair", ms(time.Since(healed)))
			r.settled(extra)
		})
}

func TestAHistoryThatIsGoneIsReadAnew(t *testing.T) {
	eachRegistry(t, faults, "the history is compacted while the client is cut off: additions and removals of that time are seen",
		func(t *testing.T, reg *registry, rec *record) {
			db, ok := reg.raw.(interface{ compact(context.Context) error })
			if !ok {
				rec.notApplicable("it keeps no history")
			}
			r := newFleetRig(t, reg)
			gone, extra := startServer(t), startServer(t)
			try(t, func(ctx context.Context) error { return reg.raw.put(ctx, r.path, endpoints(gone.addr)...) })
			r.awaitPool("all in the pool", 5*time.Second, append(addrs(r.fleet), gone.addr)...)
			r.link(cutLink)
			try(t, func(ctx context.Context) error { return reg.raw.put(ctx, r.path, endpoints(extra.addr)...) })
			try(t, func(ctx context.Context) error { return reg.raw.remove(ctx, r.path, gone.addr) })
			try(t, db.compact)
			r.link((*discoverytest.Proxy).Heal)
			healed := time.Now()
			eventually(t, "the new server in the pool", 30*time.Second, func() error {
				if !slices.Contains(poolAddrs(r.pool.Stats()), extra.addr) {
					return errNotYet
				}
				return nil
			})
			rec.figure("the new one was there %s after the repair", ms(time.Since(healed)))
			// What vanishes soon after a failure may register again.
			eventually(t, "the removal", 15*time.Second, func() error {
				if len(r.events.of(core.EventEndpointRemoved)) == 0 {
					return errNotYet
				}
				return nil
			})
			rec.figure("the old one had gone after %s", ms(time.Since(healed)))
			if n := len(r.events.of(core.EventEndpointRemoved)); n != 1 {
				t.Errorf("%d endpoints were removed, want 1", n)
			}
			eventually(t, "calls to the new server", 5*time.Second, func() error {
				if r.load.served(extra.addr) == 0 {
					return errNotYet
				}
				return nil
			})
			r.load.check(t, append(addrs(r.fleet), extra.addr)...)
		})
}
