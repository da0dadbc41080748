package core_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/retry"
)

// hedger makes hedged calls, which take 10 ms unless one is told otherwise.
type hedger struct {
	t     *testing.T
	pool  *core.Pool[*link]
	calls atomic.Int64
	// slow is what the next call takes before it answers.
	slow atomic.Int64
}

func newHedger(t *testing.T, opts ...core.Option) *hedger {
	t.Helper()
	h := &hedger{t: t, pool: newFleet(t, "a:1", "b:1", "c:1").pool(opts...)}
	for range 1000 {
		if _, err := h.call(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(200 * time.Millisecond) // until the pool has reckoned
	h.calls.Store(0)
	return h
}

func (h *hedger) call(ctx context.Context, opts ...core.CallOption) (string, error) {
	return core.Call(ctx, h.pool, func(ctx context.Context, l *link) (string, error) {
		h.calls.Add(1)
		l.use()
		defer l.unuse()
		d := 10 * time.Millisecond
		if slow := h.slow.Swap(0); slow != 0 {
			d = time.Duration(slow)
		}
		if err := sleep(ctx, d); err != nil {
			return "", err
		}
		return l.server.addr, nil
	}, append(opts, core.Hedged())...)
}

func TestCallThatIsLateIsMadeASecondTimeOnAnotherServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHedger(t)
		for range 5 {
			begun := time.Now()
			h.slow.Store(int64(time.Minute))
			addr, err := h.call(t.Context())
			if d := time.Since(begun); err != nil || addr == "" || d < 30*time.Millisecond || d > 40*time.Millisecond {
				t.Errorf("answer %q, error %v, after %v; want one after twice the median and 10ms", addr, err, d)
			}
		}
		if n := h.calls.Load(); n != 10 {
			t.Errorf("%d calls, want 10", n)
		}
		synctest.Wait()
		for _, e := range h.pool.Stats().Endpoints {
			if e.InUse != 0 {
				t.Errorf("the call that was late still has its lease: %+v", e)
			}
		}
	})
}

func TestCallThatIsInTimeIsMadeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHedger(t)
		for range 100 {
			if _, err := h.call(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if n := h.calls.Load(); n != 100 {
			t.Errorf("%d calls, want 100", n)
		}
		h.slow.Store(int64(time.Second)) // a late one that only this server may have
		if addr, err := h.call(t.Context(), core.WithEndpoint("b:1")); addr != "b:1" || err != nil || h.calls.Load() != 101 {
			t.Errorf("answered by %q, error %v, after %d calls", addr, err, h.calls.Load()-100)
		}
	})
}

func TestFewCallsAreMadeTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHedger(t)
		for range 200 {
			h.slow.Store(int64(100 * time.Millisecond))
			if _, err := h.call(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if n := h.calls.Load(); n > 200+10+5 {
			t.Errorf("%d calls, want a few more than 200", n)
		}
	})
}

func TestHedgedCallFailsWhenBothHave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHedger(t)
		var n atomic.Int64
		begun := time.Now()
		_, err := core.Call(t.Context(), h.pool, func(ctx context.Context, _ *link) (int, error) {
			_ = sleep(ctx, time.Duration(n.Add(1))*time.Second)
			return 0, errBroken
		}, core.Hedged())
		if d := time.Since(begun); !errors.Is(err, errBroken) || n.Load() != 2 || d < 2*time.Second {
			t.Errorf("error %v after %d calls and %v, want that of the second", err, n.Load(), d)
		}
	})
}

func TestHedgedCallEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHedger(t)
		ctx := within(t, time.Second)
		over := make(chan struct{})
		_, err := core.Call(ctx, h.pool, func(context.Context, *link) (int, error) {
			<-over // and does not look at its context
			return 0, nil
		}, core.Hedged())
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if err := h.pool.Close(within(t, time.Second)); err == nil {
			t.Error("close has not waited for the calls that still run")
		}
		close(over)
	})
}

func TestPanicOfAHedgedCallIsItsCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHedger(t)
		defer func() {
			if v, _ := recover().(string); !strings.Contains(v, "in the call") || !strings.Contains(v, "hedge_test.go") {
				t.Errorf("recovered %q", v)
			}
		}()
		_, _ = core.Call(t.Context(), h.pool, func(context.Context, *link) (int, error) { panic("in the call") }, core.Hedged())
		t.Error("it returned")
	})
}

func TestHedgedCallThatEndsItsGoroutineFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHedger(t)
		_, err := core.Call(t.Context(), h.pool, func(context.Context, *link) (int, error) {
			runtime.Goexit()
			return 0, nil
		}, core.Hedged())
		if err == nil {
			t.Error("no error")
		}
	})
}

func TestCallsAreMadeOnceWhileTheServersHaveMoreToDoThanUsual(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHedger(t)
		all := getMany(t, h.pool, 20)
		time.Sleep(200 * time.Millisecond)
		h.slow.Store(int64(time.Second))
		if _, err := h.call(t.Context()); err != nil || h.calls.Load() != 1 {
			t.Errorf("%d calls, error %v", h.calls.Load(), err)
		}
		release(t, all...)
	})
}

func TestCallOfAnAdapterIsHedgedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHedger(t)
		var mu sync.Mutex
		var asked []string
		begun := time.Now()
		addr, err := retry.RunHedged(t.Context(), h.pool.Retrier(), retry.Call{}, func(ctx context.Context, a retry.Attempt) (string, retry.Result, error) {
			var opts []core.CallOption
			for _, addr := range a.Excluded {
				opts = append(opts, core.WithoutEndpoint(addr))
			}
			l, err := h.pool.Get(ctx, opts...)
			if err != nil {
				return "", retry.Result{Verdict: retry.VerdictNoServer}, err
			}
			defer func() { _ = l.Release() }()
			addr := l.Endpoint().Addr
			a.Leased(addr)
			mu.Lock()
			asked = append(asked, addr)
			first := len(asked) == 1
			mu.Unlock()
			if first {
				return "", retry.Result{Endpoint: addr}, sleep(ctx, time.Minute)
			}
			return addr, retry.Result{Endpoint: addr}, nil
		})
		if d := time.Since(begun); err != nil || d > 40*time.Millisecond {
			t.Errorf("error %v, after %v", err, d)
		}
		mu.Lock() // the first call may run still
		defer mu.Unlock()
		if len(asked) != 2 || asked[0] == asked[1] || addr != asked[1] {
			t.Errorf("answered by %q, asked were %q", addr, asked)
		}
	})
}

func TestDoCannotBeHedged(t *testing.T) {
	p := newFleet(t, "a:1", "b:1").pool()
	called := false
	err := p.Do(t.Context(), func(context.Context, *link) error { called = true; return nil }, core.Hedged())
	if err == nil || !strings.Contains(err.Error(), "use Call") || called {
		t.Errorf("error %v, called %v", err, called)
	}
}
