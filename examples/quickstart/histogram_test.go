package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestBucketsAreContiguousAndNarrow(t *testing.T) {
	for i := range buckets {
		top := upper(i)
		if got := bucket(top); got != i {
			t.Fatalf("the top of bucket %d, %d ns, falls into bucket %d", i, top, got)
		}
		if top == math.MaxInt64 {
			return // no latency is longer
		}
		if got := bucket(top + 1); got != i+1 {
			t.Fatalf("%d ns falls into bucket %d, want %d", top+1, got, i+1)
		}
		if width := upper(i+1) - top; width > 1 && float64(width) > float64(top)/fine+1 {
			t.Fatalf("bucket %d is %d ns wide at %d ns", i+1, width, top)
		}
	}
	t.Fatal("the last bucket does not hold the longest latency")
}

func TestQuantileIsThatOfTheSortedLatencies(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 10, 10000} {
		var h histogram
		all := make([]time.Duration, n)
		for i := range all {
			all[i] = time.Duration(math.Exp(rnd.Float64() * 20)) // 1 ns to 0.5 s
			h.add(all[i])
		}
		slices.Sort(all)
		var c counts
		h.counts(&c)
		if got := c.total(); got != uint64(n) {
			t.Fatalf("total %d, want %d", got, n)
		}
		for _, q := range []float64{0.5, 0.99, 1} {
			want := all[max(0, int(q*float64(n)+0.5)-1)]
			if got := c.quantile(q); got < want || float64(got) > float64(want)*(1+1.0/fine)+1 {
				t.Errorf("quantile %v of %d is %v, want %v", q, n, got, want)
			}
		}
	}
}

func TestQuantileOfNothingIsZero(t *testing.T) {
	var c counts
	if got := c.quantile(0.99); got != 0 {
		t.Errorf("got %v", got)
	}
}
