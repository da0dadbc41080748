package core_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/minicaptain/multi_connection_pool/core"
)

// fleetSize is the number of endpoints that a fleet's cost is divided by.
const fleetSize = 10_000

// largeFleet is the set of endpoints, and a watcher that reports it.
func largeFleet() ([]core.Endpoint, core.Watcher) {
	set := make([]core.Endpoint, fleetSize)
	for i := range set {
		set[i] = core.Endpoint{Addr: fmt.Sprintf("10.%d.%d.%d:9090", i>>16, i>>8&255, i&255)}
	}
	return set, watchFunc(func(ctx context.Context, report func([]core.Endpoint)) error {
		report(set)
		<-ctx.Done()
		return ctx.Err()
	})
}

// heap returns the number of bytes in use.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkColdFleet is the time from New to the first lease of a pool of ten thousand endpoints, and per endpoint what
// is allocated until then and kept afterwards.
func BenchmarkColdFleet(b *testing.B) {
	_, w := largeFleet()
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
	b.ReportMetric(float64(allocs)/float64(b.N)/fleetSize, "allocs/endpoint")
	b.ReportMetric(float64(kept)/fleetSize, "B/endpoint")
}

// BenchmarkConnectedFleet is the time in which a pool of ten thousand endpoints leases a connection to each of them for
// the first time, and per endpoint what is kept while all of them are idle.
func BenchmarkConnectedFleet(b *testing.B) {
	set, w := largeFleet()
	var kept uint64
	for b.Loop() {
		b.StopTimer()
		before := heap() // with what goroutines of the last pool's end have left
		b.StartTimer()
		p, err := core.New(w, core.DialFunc[nothing](dialNothing))
		if err != nil {
			b.Fatal(err)
		}
		for _, e := range set {
			l, err := p.Get(b.Context(), core.WithEndpoint(e.Addr))
			if err != nil {
				b.Fatal(err)
			}
			if err := l.Release(); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		kept = heap() - before
		if err := p.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(kept)/fleetSize, "B/endpoint")
}
