package core_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/retry"
)

// benchPool returns a pool of n endpoints, warmed up, and how to close it.
func benchPool(b *testing.B, n int, opts ...core.Option) *core.Pool[nothing] {
	b.Helper()
	f := newFleet(b)
	for i := range n {
		f.first = append(f.first, core.Endpoint{Addr: fmt.Sprintf("10.0.0.%d:1", i+1)})
	}
	p, err := core.New(f, core.DialFunc[nothing](dialNothing), opts...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			b.Error(err)
		}
	})
	for _, e := range f.first {
		l, err := p.Get(b.Context(), core.WithEndpoint(e.Addr))
		if err != nil {
			b.Fatal(err)
		}
		_ = l.Release()
	}
	return p
}

// nothing is a connection that costs nothing.
type nothing struct{}

func (nothing) Close() error { return nil }

func dialNothing(context.Context, core.Endpoint) (nothing, error) { return nothing{}, nil }

func benchGet(b *testing.B, n int) {
	b.Helper()
	leases(b, benchPool(b, n))
}

func leases(b *testing.B, p *core.Pool[nothing]) {
	b.Helper()
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		l, err := p.Get(ctx)
		if err != nil {
			b.Fatal(err)
		}
		_ = l.Release()
	}
}

func BenchmarkGet1(b *testing.B)  { benchGet(b, 1) }
func BenchmarkGet3(b *testing.B)  { benchGet(b, 3) }
func BenchmarkGet8(b *testing.B)  { benchGet(b, 8) }
func BenchmarkGet64(b *testing.B) { benchGet(b, 64) }

// The same with everything on that a pool measures.
func BenchmarkGet8Measured(b *testing.B) {
	p := benchPool(b, 8)
	p.Measure()
	leases(b, p)
}

func BenchmarkDo8(b *testing.B)         { benchDo(b, benchPool(b, 8)) }
func BenchmarkDo8Measured(b *testing.B) { p := benchPool(b, 8); p.Measure(); benchDo(b, p) }

func BenchmarkDo8Observed(b *testing.B) {
	p := benchPool(b, 8)
	p.Retrier().Observe(blind{})
	benchDo(b, p)
}

// blind is an observer that does nothing.
type blind struct{}

func (blind) Begin(ctx context.Context, _ retry.Info) context.Context { return ctx }
func (blind) End(context.Context, retry.Info)                         {}

func benchDo(b *testing.B, p *core.Pool[nothing]) {
	b.Helper()
	ctx := b.Context()
	fn := func(context.Context, nothing) error { return nil }
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Do(ctx, fn); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWait has 64 callers for 8 connections, who yield while they hold one.
func BenchmarkWait(b *testing.B) {
	p := benchPool(b, 1, core.MaxActive(8))
	ctx := b.Context()
	b.SetParallelism(max(1, 64/runtime.GOMAXPROCS(0)))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			l, err := p.Get(ctx)
			if err != nil {
				b.Error(err)
				return
			}
			runtime.Gosched()
			_ = l.Release()
		}
	})
}

// BenchmarkScarce has 64 callers for 8 servers that take one call each, answer after 100 µs, and whose callers work for
// 20 µs between calls, on all processors: a connection that was handed to a call that cannot run yet is one that idles.
func BenchmarkScarce(b *testing.B) {
	p := benchPool(b, 8, core.MaxActive(1))
	ctx := b.Context()
	b.SetParallelism(max(1, 64/runtime.GOMAXPROCS(0)))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			l, err := p.Get(ctx)
			if err != nil {
				b.Error(err)
				return
			}
			time.Sleep(100 * time.Microsecond)
			_ = l.Release()
			for begun := time.Now(); time.Since(begun) < 20*time.Microsecond; {
			}
		}
	})
}
