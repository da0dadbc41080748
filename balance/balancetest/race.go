package balancetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

func raceRules() []rule {
	return []rule{{
		name:  "Concurrent",
		says:  "Pick and Report run beside each other, Tick, Build and changes of the load",
		check: checkConcurrent,
	}}
}

// checkConcurrent finds what the race detector finds, or what goes wrong
// without it.
func checkConcurrent(x *exam) error {
	for _, n := range []int{2, 9, 120} {
		w, err := x.world(equal(n))
		if err != nil {
			return err
		}
		type view struct {
			picker  core.Picker
			members []core.Member
		}
		var now atomic.Pointer[view]
		now.Store(&view{w.picker, w.members})
		var clock atomic.Int64
		var callers, others sync.WaitGroup
		bad := make(chan error, 8)
		for g := range 4 {
			callers.Go(func() {
				for k := range 3000 {
					v := now.Load()
					h := core.Hint{}
					if k%2 == 0 {
						h = key(g*3000 + k)
					}
					i := v.picker.Pick(h)
					if i < 0 || i >= len(v.members) {
						bad <- fmt.Errorf("Pick beside other calls returned %d of %d", i, len(v.members))
						return
					}
					l := w.loads[v.members[i].Endpoint.Addr]
					l.Begin()
					v.picker.Report(i, core.Report{
						Class: core.Class(k % 6), Latency: time.Duration(k%97) * time.Microsecond, At: time.Duration(clock.Load()),
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
			t, ok := now.Load().picker.(core.Ticker)
			if at := clock.Add(int64(100 * time.Millisecond)); ok {
				t.Tick(time.Duration(at))
			}
		})
		var flags []*core.MemberLoad
		for _, m := range w.members {
			flags = append(flags, w.loads[m.Endpoint.Addr])
		}
		loop(func(k int) { flags[k%n].SetDown(k/n%2 == 0) })
		loop(func(k int) {
			v := now.Load()
			members := append([]core.Member(nil), w.members[k%2:]...) // one leaves and comes
			if p := w.balancer.Build(v.picker, core.Snapshot{Members: members}); p != nil {
				now.Store(&view{p, members})
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
