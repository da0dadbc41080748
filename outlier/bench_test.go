package outlier_test

import "testing"

// BenchmarkTick is what ten times a second costs a pool of ten thousand endpoints, of
// which 64 were called since the last time.
func BenchmarkTick(b *testing.B) {
	f := newFleet(equal(10_000)...)
	for b.Loop() {
		for i := range 64 {
			f.report(i, false, f.now)
		}
		f.tick()
	}
}
