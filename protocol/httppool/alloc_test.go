//go:build !race

package httppool

import "testing"

func TestARequestCostsTwoAllocationsMoreThanWithoutThePoolAtMost(t *testing.T) {
	addrs := []string{parrot(t), parrot(t), parrot(t)}
	measure := func(f func()) float64 {
		for range 100 { // open the connections
			f()
		}
		return testing.AllocsPerRun(2000, f)
	}
	hand, ours := measure(byHand(t, addrs)), measure(pooled(t, addrs))
	t.Logf("by hand %v, ours %v", hand, ours)
	if ours > hand+2 {
		t.Errorf("%v allocations by hand, %v with the pool", hand, ours)
	}
}
