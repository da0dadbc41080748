package metrics_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/metrics"
)

// contents is what a recorder has of durations.
func contents(durations ...time.Duration) (h metrics.Histogram) {
	var r metrics.Recorder
	for _, d := range durations {
		r.Record(d)
	}
	r.AddTo(&h)
	return h
}

func TestEveryDurationIsInTheBucketWithItsBounds(t *testing.T) {
	some := []time.Duration{-time.Second, 0, 1, 953, 954, time.Microsecond, time.Second, time.Second + 1, 500 * time.Millisecond, 64 * time.Second, 64*time.Second + 1, math.MaxInt64}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		some = append(some, time.Duration(math.Exp2(r.Float64()*40)))
	}
	for i := range metrics.Buckets - 2 {
		at := time.Duration(metrics.Bound(i) * 1e9)
		some = append(some, at-1, at, at+1)
	}
	for _, d := range some {
		h := contents(d)
		i := slices.Index(h.Counts[:], 1)
		if i < 0 || h.Count() != 1 {
			t.Fatalf("%v is in bucket %d of %d", d, i, h.Count())
		}
		s := float64(d) * 1e-9
		if i > 0 && s <= metrics.Bound(i-1) || i < metrics.Buckets-1 && s > metrics.Bound(i) {
			t.Errorf("%v (%v s) is in bucket %d", d, s, i)
		}
	}
}

func TestIndexOfABucketIsThatOfPrometheus(t *testing.T) {
	for i := range metrics.Buckets - 1 {
		base := math.Pow(2, math.Pow(2, -metrics.Schema))
		if want := math.Pow(base, float64(metrics.Index(i))); math.Abs(metrics.Bound(i)/want-1) > 1e-9 {
			t.Errorf("the bound of bucket %d is %v, want %v", i, metrics.Bound(i), want)
		}
	}
}

func TestQuantilesAreOffByATenthAtMost(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	all := make([]time.Duration, 10_000)
	for i := range all {
		all[i] = time.Duration(math.Exp(r.NormFloat64()*1.5) * float64(5*time.Millisecond))
	}
	h := contents(all...)
	slices.Sort(all)
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 1} {
		exact := all[min(int(q*10_000), 9999)]
		if got := h.Quantile(q); got < exact*99/100 || got > exact*110/100 {
			t.Errorf("quantile %v is %v, want about %v", q, got, exact)
		}
	}
	if empty := contents(); empty.Quantile(0.5) != 0 {
		t.Errorf("the median of nothing is %v", empty.Quantile(0.5))
	}
	if long := contents(time.Hour); long.Quantile(0.5) != 64*time.Second {
		t.Errorf("the median of an hour is %v, want the greatest bound", long.Quantile(0.5))
	}
}

func TestNothingRecordedAtOnceIsLost(t *testing.T) {
	var r metrics.Recorder
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 1000 {
				r.Record(time.Duration(i))
			}
		})
	}
	all.Wait()
	var h metrics.Histogram
	r.AddTo(&h)
	r.AddTo(&h)
	if h.Count() != 16_000 || h.Sum != 2*8*1000*999/2 {
		t.Errorf("%d, of %v in all", h.Count(), h.Sum)
	}
}

func TestRecordingAllocatesNothing(t *testing.T) {
	var r metrics.Recorder
	if n := testing.AllocsPerRun(100, func() { r.Record(time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestHistogramAsJSONCanBeRead(t *testing.T) {
	h := contents(time.Millisecond, time.Millisecond, time.Second)
	text, err := json.Marshal(struct{ Wait metrics.Histogram }{h})
	if want := `{"Wait":{"Count":3,"Sum":"1.002s","P50":"1.0649ms","P90":"1s","P99":"1s","P999":"1s"}}`; err != nil || string(text) != want {
		t.Errorf("%s, %v; want %s", text, err, want)
	}
	if text, err = json.Marshal(metrics.Calls{AnswerTime: 1500 * time.Millisecond}); err != nil || !strings.Contains(string(text), `"AnswerTime":"1.5s"`) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestSumsOfCallsHaveEveryNumber(t *testing.T) {
	one := func(k uint64) metrics.Calls {
		return metrics.Calls{
			OK: k, Failed: 2 * k, Overloaded: 3 * k, Neutral: 4 * k, Canceled: 5 * k, Answers: 6 * k, AnswerTime: 7 * time.Duration(k), Retries: 8 * k,
			Hedges: 9 * k, HedgesWon: 10 * k, HedgesFailed: 11 * k, Ejections: 12 * k, Probes: 13 * k,
		}
	}
	sum := one(1)
	if sum.Add(one(2)); sum != one(3) {
		t.Errorf("%+v", sum)
	}
}

func BenchmarkRecord(b *testing.B) {
	var r metrics.Recorder
	for i := range b.N {
		r.Record(time.Duration(i&0xffff) * time.Microsecond)
	}
}
