package core_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/minicaptain/multi_connection_pool/core"
)

// BenchmarkColdFleet is the time from New to the first lease of a pool of ten thousand endpoints, and per endpoint what
// is allocated until then and kept afterwards.
func BenchmarkColdFleet(b *testing.B) {
	const n = 10_000
	set := make([]core.Endpoint, n)
	for i := range set {
		set[i] = core.Endpoint{Addr: fmt.Sprintf("10.%d.%d.%d:9090", i>>16, i>>8&255, i&255)}
	}
	w := watchFunc(func(ctx context.Context, report func([]core.Endpoint)) error {
		report(set)
		<-ctx.Done()
		return ctx.Err()
	})
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	b.ReportAllocs()
	var kept, allocs uint64
	for b.Loop() {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		from := m.Mallocs
		p, err := core.New(w, core.DialFunc[nothing](dialNothing))
		if err != nil {
			b.Fatal(err)
		}
		l, err := p.Get(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		runtime.ReadMemStats(&m)
		allocs += m.Mallocs - from
		kept = heap() - before
		_ = l.Release()
		if err := p.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(allocs)/float64(b.N)/n, "allocs/endpoint")
	b.ReportMetric(float64(kept)/n, "B/endpoint")
}
