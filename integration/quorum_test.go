package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

func TestAHungServerAmongTheRegistrysIsLeft(t *testing.T) {
	eachRegistry(t, faults, "the registry's server that the pool talks to hangs: a change is seen through another",
		func(t *testing.T, reg *registry, rec *record) {
			if reg.alone != "" {
				rec.notApplicable("the pool has one link, to the only server or its agent; see quorum lost")
			}
			r := newFleetRig(t, reg)
			var hung string
			var most int64
			for s, p := range r.proxies {
				if n := p.Traffic().FromServer; n > most && p.Traffic().Open > 0 {
					hung, most = s, n
				}
			}
			extra := startServer(t)
			try(t, func(ctx context.Context) error { return r.cluster.Pause(ctx, hung) })
			begin := time.Now()
			insist(t, "a new entry", func(ctx context.Context) error { return reg.raw.put(ctx, r.path, endpoints(extra.addr)...) })
			put := time.Since(begin)
			r.awaitPool("the new server in the pool", 20*time.Second, append(addrs(r.fleet), extra.addr)...)
			rec.figure("a server added %s after the hang was in the pool %s after it", ms(put), ms(time.Since(begin)))
			try(t, func(ctx context.Context) error { return r.cluster.Unpause(ctx, hung) })
			r.awaitCluster()
			r.settled(extra)
		})
}

func TestALostLeaderIsReplacedAndNothingIsMissed(t *testing.T) {
	eachRegistry(t, faults, "the registry's leader crashes: a change made as soon as it can be is seen",
		func(t *testing.T, reg *registry, rec *record) {
			if reg.alone != "" {
				rec.notApplicable("there is one server; see quorum lost")
			}
			r := newFleetRig(t, reg)
			leader, err := r.cluster.Leader(t.Context(), reg.service)
			if err != nil {
				t.Fatal(err)
			}
			extra := startServer(t)
			try(t, func(ctx context.Context) error { return r.cluster.Kill(ctx, leader) })
			begin := time.Now()
			insist(t, "a new entry", func(ctx context.Context) error { return reg.raw.put(ctx, r.path, endpoints(extra.addr)...) })
			put := time.Since(begin)
			r.awaitPool("the new server in the pool", 20*time.Second, append(addrs(r.fleet), extra.addr)...)
			rec.figure("a server added %s after the crash was in the pool %s after it", ms(put), ms(time.Since(begin)))
			try(t, func(ctx context.Context) error { return r.cluster.Start(ctx, leader) })
			r.awaitCluster()
			r.settled(extra)
		})
}

func TestALostQuorumIsNoticedAndTheSetIsKept(t *testing.T) {
	eachRegistry(t, faults, "the registry loses its quorum: noticed, the set is kept; a change made when it is back is seen",
		func(t *testing.T, reg *registry, rec *record) {
			r := newFleetRig(t, reg)
			lost := []string{reg.alone}
			if reg.alone == "" {
				lost = r.cluster.Services(reg.service)[:2]
			}
			try(t, func(ctx context.Context) error { return r.cluster.Kill(ctx, lost...) })
			noticed := r.awaitState(core.StateStale, 30*time.Second)
			// What is left of ZooKeeper serves reads only, to others than these clients.
			if says := fmt.Sprint(r.pool.Stats().LastWatch); reg.service == "zookeeper" && !strings.Contains(says, "no quorum, or serves reads only") {
				t.Errorf("it says: %v", says)
			}
			try(t, func(ctx context.Context) error { return r.cluster.Start(ctx, lost...) })
			r.awaitCluster()
			begin := time.Now()
			extra := startServer(t)
			insist(t, "a new entry", func(ctx context.Context) error { return reg.raw.put(ctx, r.path, endpoints(extra.addr)...) })
			r.awaitPool("the new server in the pool", 45*time.Second, append(addrs(r.fleet), extra.addr)...)
			rec.figure("Stale after %s; a server added at its return was in the pool after %s", ms(noticed), ms(time.Since(begin)))
			r.settled(extra)
		})
}

// settled waits until all registrations hold and the new server is called, and
// checks that nothing was harmed on the way.
func (r *rig) settled(extra ...*server) {
	r.t.Helper()
	awaitRegistered(r.t, r.fleet, 45*time.Second)
	for _, s := range extra {
		eventually(r.t, "calls to "+s.addr, 5*time.Second, func() error {
			if r.load.served(s.addr) == 0 {
				return errNotYet
			}
			return nil
		})
	}
	r.unharmed(addrs(append(r.fleet, extra...))...)
}
