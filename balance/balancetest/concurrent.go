package balancetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
)

// concurrentRules are about concurrent use.
func concurrentRules() []rule {
	return []rule{{
		name:        "Concurrent",
		description: "Pick and Report are safe for concurrent use, also during Tick, Build and changes of the load",
		check:       checkConcurrent,
	}}
}

// checkConcurrent finds data races under the race detector, and wrong picks
// without it.
func checkConcurrent(r *run) error {
	for _, n := range []int{2, 9, 120} {
		sim, err := r.simulate(equal(n))
		if err != nil {
			return err
		}
		type snapshot struct {
			picker  balance.Picker
			members []balance.Member
		}
		var now atomic.Pointer[snapshot]
		now.Store(&snapshot{sim.picker, sim.members})
		var clock atomic.Int64
		var callers, others sync.WaitGroup
		bad := make(chan error, 8)
		for g := range 4 {
			callers.Go(func() {
				for k := range 3000 {
					v := now.Load()
					info := balance.PickInfo{}
					if k%2 == 0 {
						info = key(g*3000 + k)
					}
					i := v.picker.Pick(info)
					if i < 0 || i >= len(v.members) {
						bad <- fmt.Errorf("concurrent Pick returned %d of %d", i, len(v.members))
						return
					}
					l := sim.loads[v.members[i].Endpoint.Addr]
					l.Begin()
					v.picker.Report(i, balance.Report{
						Outcome: balance.Outcome(k % 6), Latency: time.Duration(k%97) * time.Microsecond, At: time.Duration(clock.Load()),
					})
					l.End()
				}
			})
		}
		stop := make(chan struct{})
		loop := func(f func(k int)) {
			others.Go(func() {
				for k := 0; ; k++ {
					select {
					case <-stop:
						return
					default:
						f(k)
					}
				}
			})
		}
		loop(func(int) {
			t, ok := now.Load().picker.(balance.Ticker)
			if at := clock.Add(int64(100 * time.Millisecond)); ok {
				t.Tick(time.Duration(at))
			}
		})
		var loads []*Load
		for _, m := range sim.members {
			loads = append(loads, sim.loads[m.Endpoint.Addr])
		}
		loop(func(k int) { loads[k%n].SetDown(k/n%2 == 0) })
		loop(func(k int) {
			v := now.Load()
			members := append([]balance.Member(nil), sim.members[k%2:]...) // one leaves and joins again
			if p := sim.balancer.Build(v.picker, members); p != nil {
				now.Store(&snapshot{p, members})
			}
		})
		callers.Wait()
		close(stop)
		others.Wait()
		select {
		case err := <-bad:
			return err
		default:
		}
	}
	return nil
}
