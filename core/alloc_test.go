package core_test

import (
	"context"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"testing"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

// allocFree fails the test if f allocates. Whatever else the process does
// meanwhile is a fraction of an allocation per run.
func allocFree(t *testing.T, what string, f func()) {
	t.Helper()
	if n := testing.AllocsPerRun(2000, f); n != 0 {
		t.Errorf("%s: %v allocations, want none", what, n)
	}
}

func TestLeaseOfAnIdleConnectionAllocatesNothing(t *testing.T) {
	for _, c := range []struct {
		name    string
		servers []string
		opts    []core.Option
	}{
		{"one endpoint", []string{"a:1"}, nil},
		{"five endpoints", []string{"a:1", "b:1", "c:1", "d:1", "e:1"}, nil},
		{"with all checks on", []string{"a:1", "b:1"}, []core.Option{
			core.MaxIdle(4), core.MaxTotal(100), core.MaxLifetime(1 << 60), core.ValidateAfterIdle(0), core.WithObserver(new(journal).Observe),
		}},
		{"shared", []string{"a:1"}, []core.Option{core.MaxConcurrentCalls(100)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFleet(t, c.servers...)
			p := f.pool(c.opts...)
			ctx := t.Context()
			for _, a := range c.servers {
				warm(t, p, 1, core.WithEndpoint(a))
			}
			use := func(opts ...core.CallOption) {
				l, err := p.Get(ctx, opts...)
				if err != nil {
					t.Fatal(err)
				}
				_ = l.Conn()
				if err := l.Release(); err != nil {
					t.Error(err)
				}
			}
			allocFree(t, "Get and Release", func() { use() })
			allocFree(t, "On", func() { use(core.WithEndpoint("a:1")) })
			allocFree(t, "Avoid", func() { use(core.WithoutEndpoint("a:1"), core.WithoutEndpoint("b:1")) })
			allocFree(t, "WithKey", func() { use(core.WithKey("some key")) })
			fn := func(context.Context, *link) error { return nil }
			allocFree(t, "Do", func() {
				if err := p.Do(ctx, fn); err != nil {
					t.Error(err)
				}
			})
			sum, key := 0, "some key"
			allocFree(t, "Do with a function that refers to variables", func() {
				n := len(key)
				if err := p.Do(ctx, func(context.Context, *link) error { sum += n; return nil }, core.WithKey(key)); err != nil {
					t.Error(err)
				}
			})
			if opened, _ := f.counts(); opened > len(c.servers) {
				t.Errorf("%d connections opened; the test shows nothing", opened)
			}
		})
	}
}

func TestStaleReleaseAndReportAllocateNothing(t *testing.T) {
	f := newFleet(t, "a:1")
	p := f.pool()
	old := get(t, p)
	release(t, old)
	allocFree(t, "a stale release", func() { _ = old.Release() })
	l := get(t, p)
	allocFree(t, "a report", func() { l.Report(balance.Report{Latency: 1}) })
	allocFree(t, "the endpoint", func() { _ = l.Endpoint() })
	release(t, l)
}

func TestSteadyWaitingAllocatesNothing(t *testing.T) {
	if info, _ := debug.ReadBuildInfo(); slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		t.Skip("the race detector makes sync.Pool forget at random")
	}
	f := newFleet(t, "a:1")
	p := f.pool(core.MaxActive(1))
	run := func(calls int) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range calls {
					l, err := p.Get(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					runtime.Gosched() // for the others to come and wait
					_ = l.Release()
				}
			})
		}
		wg.Wait()
	}
	run(1000)
	var before, after runtime.MemStats
	waits := p.Stats().Waits
	runtime.ReadMemStats(&before)
	run(20_000)
	runtime.ReadMemStats(&after)
	waits = p.Stats().Waits - waits
	if waits < 10_000 {
		t.Fatalf("%d calls waited; the test shows nothing", waits)
	}
	// Besides, each goroutine, and the garbage collector, may take a few.
	if n := after.Mallocs - before.Mallocs; n > waits/20 {
		t.Errorf("%d allocations in %d waits, want none", n, waits)
	}
}
