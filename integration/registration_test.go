package integration

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

func TestANewRegistrationOfAnAddressTakesItFromTheOldOne(t *testing.T) {
	eachRegistry(t, faults, "rolling restart on one address, old and new registered at once: the new one keeps it, the old one is told, and no gap when that ends",
		func(t *testing.T, reg *registry, rec *record) {
			needsRegistrar(reg, rec)
			r := newFleetRig(t, reg)
			s := r.fleet[0]
			old := s.registration
			var hosts []string // not those of the old one, whose connections it would share
			for _, service := range reg.register {
				hosts = append(hosts, r.proxies[service].Addr())
			}
			s.registerAt(t, reg.url("", hosts, r.path, ""))
			awaitRegistered(t, r.fleet, 15*time.Second)
			told := eventually(t, "a conflict", 15*time.Second, func() error {
				if state, err := old.State(); state != discovery.StateLost || !errors.Is(err, discovery.ErrConflict) {
					return fmt.Errorf("the old registration is %v (%w)", state, errors.Join(err, errNotYet))
				}
				return nil
			})
			rec.figure("the old one was told after %s", ms(told))
			(&server{addr: s.addr, registration: old}).deregister(t)
			pause(t, 5*time.Second) // longer than sessions and leases are
			if state, err := s.registration.State(); state != discovery.StateRegistered {
				t.Errorf("the new registration is %v (%v)", state, err)
			}
			r.awaitEntries(addrs(r.fleet)...)
			r.unharmed(addrs(r.fleet)...)
		})
}

func TestAnEntryThatSomebodyRemovesIsPutBack(t *testing.T) {
	eachRegistry(t, faults, "somebody removes a registered entry: put back at once, or its registration says so within its TTL and puts it back",
		func(t *testing.T, reg *registry, rec *record) {
			needsRegistrar(reg, rec)
			r := newFleetRig(t, reg)
			s := startServer(t)
			var lost atomic.Pointer[time.Time]
			s.registerAt(t, r.registrarURL(), discovery.OnChange(func(state discovery.State, _ error) {
				if now := time.Now(); state == discovery.StateLost {
					lost.CompareAndSwap(nil, &now)
				}
			}))
			r.fleet = append(r.fleet, s)
			awaitRegistered(t, r.fleet, 15*time.Second)
			r.awaitPool("all in the pool", 10*time.Second, addrs(r.fleet)...)
			lost.Store(nil)
			try(t, func(ctx context.Context) error { return reg.raw.removeRegistered(ctx, r.path, s.addr) })
			removed := time.Now()
			o := observe(t, r.watcherURL("", ""))
			o.await(t, "an entry, or a registration that says that it is lost", 15*time.Second, func(set []core.Endpoint) bool {
				return lost.Load() != nil || sameAddrs(set, addrs(r.fleet))
			})
			if at := lost.Load(); at != nil {
				rec.figure("said so after %s", ms(at.Sub(removed)))
			}
			awaitRegistered(t, r.fleet, 15*time.Second)
			o.await(t, "all entries", 15*time.Second, func(set []core.Endpoint) bool { return sameAddrs(set, addrs(r.fleet)) })
			rec.figure("back after %s", ms(time.Since(removed)))
			r.awaitPool("all in the pool", 10*time.Second, addrs(r.fleet)...)
			r.load.check(t, addrs(r.fleet)...)
		})
}

func TestAnEntryThatIsRemovedAndMadeAgainInARowStays(t *testing.T) {
	eachRegistry(t, faults, "an entry is removed and made again in a row, ten times: the endpoint stays, with its connections",
		func(t *testing.T, reg *registry, rec *record) {
			r := newRawRig(t, reg)
			eventually(t, "calls to all", 5*time.Second, r.allServed)
			before := r.pool.Stats()
			var longest time.Duration
			for range 10 {
				begin := time.Now()
				try(t, func(ctx context.Context) error { return reg.raw.replace(ctx, r.path, r.fleet[0].addr) })
				longest = max(longest, time.Since(begin))
			}
			r.awaitPool("all in the pool", 10*time.Second, addrs(r.fleet)...)
			after := r.pool.Stats()
			left := len(r.events.of(core.EventEndpointRemoved))
			rec.figure("%d endpoints left the pool, %d connections were closed", left, closedBy(after, "")-closedBy(before, ""))
			if left > 0 && longest > 100*time.Millisecond {
				t.Logf("the registry was slow: removing and adding took up to %v", longest)
				r.load.check(t, addrs(r.fleet)...)
				return
			}
			r.unharmed(addrs(r.fleet)...)
		})
}

// needsRegistrar skips a registry where servers do not register themselves.
func needsRegistrar(reg *registry, rec *record) {
	rec.t.Helper()
	if len(reg.register) == 0 {
		rec.notApplicable("servers do not register themselves there")
	}
}
