package integration

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/combine"
)

func TestARegistryIsSwappedUnderALivePool(t *testing.T) {
	eachRegistry(t, faults, "the registry is swapped for one of the next kind under a live pool, by URL: servers in both keep their connections",
		func(t *testing.T, reg *registry, rec *record) {
			all := registries(theCluster(t))
			next := all[(slices.IndexFunc(all, func(o *registry) bool { return o.name == reg.name })+1)%len(all)]
			r, to := newRig(t, reg), newRig(t, next)
			r.fleet = startFleet(t, 4, "")
			extra := startServer(t)
			try(t, func(ctx context.Context) error { return reg.raw.put(ctx, r.path, endpoints(addrs(r.fleet)...)...) })
			both := append(addrs(r.fleet), extra.addr)
			try(t, func(ctx context.Context) error { return next.raw.put(ctx, to.path, endpoints(both...)...) })

			swap := combine.NewSwap(open(t, r.watcherURL("", "")))
			r.watchWith(swap)
			r.awaitPool("the servers in the pool", 5*time.Second, addrs(r.fleet)...)
			r.call()
			eventually(t, "calls to all", 5*time.Second, r.allServed)
			dialed := r.events.added.Load()
			if err := swap.Set(open(t, to.watcherURL("", ""))); err != nil {
				t.Fatal(err)
			}
			took := r.awaitPool("what the next registry knows in the pool", 10*time.Second, both...)
			rec.figure("%s's set was in the pool after %s", next.name, ms(took))
			eventually(t, "one endpoint that is new to the pool", 5*time.Second, func() error { // the event follows the set
				if n := r.events.added.Load() - dialed; n != 1 {
					return fmt.Errorf("%d are new (%w)", n, errNotYet)
				}
				return nil
			})
			r.fleet = append(r.fleet, extra)
			eventually(t, "calls to all", 5*time.Second, r.allServed)
			try(t, func(ctx context.Context) error { return reg.raw.removeAll(ctx, r.path) }) // is nobody's concern any more
			try(t, func(ctx context.Context) error { return next.raw.put(ctx, to.path, core.Endpoint{Addr: "127.0.0.1:1"}) })
			r.awaitPool("news of the next registry in the pool", 10*time.Second, append(addrs(r.fleet), "127.0.0.1:1")...)
			r.unharmed(addrs(r.fleet)...)
		})
}
