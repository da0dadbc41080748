package integration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

func TestARegistryThatIsDownAtTheStartIsWaitedFor(t *testing.T) {
	eachRegistry(t, faults, "registry down at start: New returns at once, the trouble is told, and servers and pool find each other when it is up",
		func(t *testing.T, reg *registry, rec *record) {
			r := newRig(t, reg)
			services := r.cluster.Services(reg.service)
			try(t, func(ctx context.Context) error { return r.cluster.Kill(ctx, services...) })

			if len(reg.register) > 0 {
				r.fleet = startFleet(t, 4, r.registrarURL())
			} else {
				r.fleet = startFleet(t, 4, "")
			}
			begin := time.Now()
			r.watch(r.watcherURL("", ""))
			if took := time.Since(begin); took > 100*time.Millisecond {
				t.Errorf("New took %v", took)
			}
			if st := r.pool.Stats().State; st != core.StatePending {
				t.Errorf("the pool is %v", st)
			}
			named := eventually(t, "the cause in the error of Get", 5*time.Second, func() error {
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				_, err := r.pool.Get(ctx)
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Get returned %v", err)
				}
				if e, ok := errors.AsType[*core.Error](err); !ok || e.LastWatch == nil {
					return fmt.Errorf("Get returned %w", errors.Join(err, errNotYet))
				}
				return nil
			})
			told := eventually(t, "an error of the watch", 15*time.Second, func() error {
				if r.pool.Stats().LastWatch == nil {
					return errNotYet
				}
				return nil
			})
			t.Logf("it says: %v", r.pool.Stats().LastWatch)

			try(t, func(ctx context.Context) error { return r.cluster.Start(ctx, services...) })
			r.awaitCluster()
			up := time.Now()
			r.list(r.fleet...)
			r.awaitPool("the fleet in the pool", 45*time.Second, addrs(r.fleet)...)
			rec.figure("Get named the cause after %s; told after %s, all servers in the pool %s after it was up", ms(named), ms(told), ms(time.Since(up)))
			r.call()
			eventually(t, "calls", 5*time.Second, r.allServed)
			r.unharmed(addrs(r.fleet)...)
		})
}

// allServed is nil when each server has answered a call.
func (r *rig) allServed() error {
	for _, s := range r.fleet {
		if r.load.served(s.addr) == 0 {
			return errNotYet
		}
	}
	return nil
}

func TestAPathThatIsAbsentIsEmptyUntilItIsMade(t *testing.T) {
	eachRegistry(t, faults, "path or service absent at start: empty, nothing is written, and seen when it is made",
		func(t *testing.T, reg *registry, rec *record) {
			r := newRig(t, reg)
			r.watch(r.watcherURL("", ""))
			empty := r.awaitState(core.StateEmpty, 5*time.Second)
			if _, err := r.pool.Get(t.Context()); !errors.Is(err, core.ErrNoEndpoint) || !strings.Contains(err.Error(), strings.Trim(r.path, "/")) {
				t.Errorf("Get returned %v", err)
			}
			if ok, err := reg.raw.exists(t.Context(), r.path); ok || err != nil {
				t.Errorf("the path exists: %v, error %v", ok, err)
			}
			r.startFleet(4)
			seen := r.awaitPool("the fleet in the pool", 5*time.Second, addrs(r.fleet)...)
			rec.figure("empty after %s, servers in the pool %s after they were registered", ms(empty), ms(seen))
			r.call()
			eventually(t, "calls", 5*time.Second, r.allServed)
			r.unharmed(addrs(r.fleet)...)
		})
}

func TestABadNameAmongTheServersOfTheRegistryIsTolerated(t *testing.T) {
	eachRegistry(t, faults, "the name of one of the registry's servers does not resolve: the others are used",
		func(t *testing.T, reg *registry, rec *record) {
			if reg.scheme == "k8s" {
				rec.notApplicable("its kubeconfig names one server")
			}
			r := newRig(t, reg)
			fleet := startFleet(t, 2, r.registrarURL())
			awaitRegistered(t, fleet, 10*time.Second)
			hosts := []string{"no-such-host.invalid:2181"}
			for _, s := range reg.watch {
				hosts = append(hosts, r.proxies[s].Addr())
			}
			params := ""
			if reg.scheme == "consul" { // whose token is in the environment
				params = "allow_plaintext_credentials=true"
			}
			r.watch(reg.url("", hosts, r.path, params))
			took := r.awaitPool("the fleet in the pool", 15*time.Second, addrs(fleet)...)
			rec.figure("servers in the pool after %s", ms(took))
		})
}
