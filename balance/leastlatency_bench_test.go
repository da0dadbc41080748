package balance

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// BenchmarkLeastLatencyPick is one choice, in a fleet that nobody uses and in one where no
// two servers cost the same and all are busy, so that every pick looks at all
// its choices.
func BenchmarkLeastLatencyPick(b *testing.B) {
	for _, n := range []int{3, 10, 100, 10_000} {
		for _, busy := range []bool{false, true} {
			name := fmt.Sprintf("%d/idle", n)
			w := newWorld(equal(n)...)
			if busy {
				name = fmt.Sprintf("%d/busy", n)
				r := rand.New(rand.NewPCG(1, uint64(n)))
				for range 3 {
					for i := range n {
						w.report(i, OutcomeOK, ms+time.Duration(r.Int64N(int64(ms))), w.now)
					}
					w.tick()
				}
				for i := range n {
					w.busy(i, 1+r.IntN(8))
				}
			}
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					w.pick()
				}
			})
		}
	}
}

// BenchmarkLeastLatencyReport is the report of one answer, ten thousand of which come in a
// second from each of ten servers.
func BenchmarkLeastLatencyReport(b *testing.B) {
	w := newWorld(equal(10)...)
	w.settleEvenly(ms)
	i := 0
	for b.Loop() {
		if i++; i == len(w.loads) {
			i = 0
		}
		w.now += 10 * us
		w.report(i, OutcomeOK, ms, w.now)
	}
}
