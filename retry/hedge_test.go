package retry_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/retry"
)

// hedger makes hedged calls of a pool that knows enough to make late ones twice:
// those that take more than about 20 ms.
type hedger struct {
	*retry.Retrier
	pool *pool
}

const (
	usual = 10 * ms // what a call takes
	soon  = 30 * ms // a late call has been made twice by then
)

func newHedger(t *testing.T, servers int) *hedger {
	t.Helper()
	p := newPool(servers)
	h := &hedger{retry.New(p), p}
	for range 200 {
		if _, err := h.call(t.Context(), func(context.Context, retry.Attempt) (string, retry.Result, error) {
			time.Sleep(usual)
			return "", retry.Result{Took: usual}, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	h.Tick(1)
	return h
}

type try = func(context.Context, retry.Attempt) (string, retry.Result, error)

func (h *hedger) call(ctx context.Context, f try) (string, error) {
	return retry.RunHedged(ctx, h.Retrier, retry.Call{Attempts: 2, Repeatable: true}, f)
}

// calls counts the tries of one call and notes what they exclude.
type calls struct {
	mu       sync.Mutex
	excluded [][]string
}

// begin notes a try and returns its number.
func (c *calls) begin(a retry.Attempt) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.excluded = append(c.excluded, slices.Clone(a.Excluded))
	return len(c.excluded) - 1
}

func (c *calls) number() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.excluded)
}

// sleep returns the error of ctx if that ends before d is over.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// onOwn is a try on a server of its own, "a" and so on, that ends as does
// says.
func (c *calls) onOwn(does func(ctx context.Context, k int) (retry.Verdict, error)) try {
	return func(ctx context.Context, a retry.Attempt) (string, retry.Result, error) {
		k := c.begin(a)
		if !a.Leased(server(k)) {
			return "", retry.Result{Verdict: retry.VerdictNoServer}, nil
		}
		v, err := does(ctx, k)
		return server(k), retry.Result{Verdict: v, Endpoint: server(k)}, err
	}
}

func TestLateCallIsMadeASecondTimeOnAnotherServerAndTheLoserIsCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHedger(t, 3)
		var c calls
		loser := make(chan error, 1)
		begun := time.Now()
		addr, err := h.call(t.Context(), c.onOwn(func(ctx context.Context, k int) (retry.Verdict, error) {
			if k == 0 {
				err := sleep(ctx, time.Minute)
				loser <- err
				return retry.VerdictFailed, err
			}
			return retry.VerdictDone, sleep(ctx, usual)
		}))
		if d := time.Since(begun); addr != server(1) || err != nil || d < 2*usual+usual || d > soon+usual {
			t.Errorf("answer %q, error %v, after %v; want that of the second after twice the median and %v", addr, err, d, usual)
		}
		if err := <-loser; !errors.Is(err, context.Canceled) {
			t.Errorf("the context of the first ended with %v", err)
		}
		if want := [][]string{nil, {server(0)}}; !slices.EqualFunc(c.excluded, want, slices.Equal) {
			t.Errorf("the calls exclude %q, want %q", c.excluded, want)
		}
	})
}

func TestFirstOfTwoMayWin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHedger(t, 3)
		var c calls
		loser := make(chan error, 1)
		addr, err := h.call(t.Context(), c.onOwn(func(ctx context.Context, k int) (retry.Verdict, error) {
			if k == 0 {
				return retry.VerdictDone, sleep(ctx, soon)
			}
			err := sleep(ctx, time.Minute)
			loser <- err
			return retry.VerdictFailed, err
		}))
		if addr != server(0) || err != nil || c.number() != 2 {
			t.Errorf("answer %q, error %v, after %d calls", addr, err, c.number())
		}
		if err := <-loser; !errors.Is(err, context.Canceled) {
			t.Errorf("the context of the second ended with %v", err)
		}
	})
}

func TestCallIsMadeOnce(t *testing.T) {
	for _, c := range []struct {
		name    string
		servers int
		change  func(h *hedger)
		leased  bool
		took    time.Duration
	}{
		{"it is in time", 3, func(*hedger) {}, true, usual},
		{"there is no other server", 1, func(*hedger) {}, true, time.Second},
		{"all other servers are out", 3, func(h *hedger) { h.pool.out("b", "c") }, true, time.Second},
		{"it has no connection yet", 3, func(*hedger) {}, false, time.Second},
		{"the pool has more calls in flight than usual", 3, func(h *hedger) { h.Tick(10) }, true, time.Second},
		{"the pool knows too little", 3, func(h *hedger) { h.Retrier = retry.New(h.pool) }, true, time.Second},
		{"the pool knows of failures only", 3, func(h *hedger) {
			h.Retrier = retry.New(h.pool)
			for range 200 {
				_, _ = h.call(context.Background(), func(context.Context, retry.Attempt) (string, retry.Result, error) {
					time.Sleep(usual)
					return "", retry.Result{}, errLost
				})
			}
			h.Tick(1)
		}, true, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHedger(t, c.servers)
				c.change(h)
				var made calls
				begun := time.Now()
				v, err := h.call(t.Context(), func(ctx context.Context, a retry.Attempt) (string, retry.Result, error) {
					made.begin(a)
					if c.leased {
						a.Leased("a")
					}
					return "answer", retry.Result{}, sleep(ctx, c.took)
				})
				if n := made.number(); n != 1 || v != "answer" || err != nil || time.Since(begun) != c.took {
					t.Errorf("%d calls, then %q, %v after %v", n, v, err, time.Since(begun))
				}
			})
		})
	}
}

func TestTwoCallsOfAHundredAreMadeTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHedger(t, 3)
		var c calls
		const made = 1000
		for range made {
			if _, err := h.call(t.Context(), func(ctx context.Context, a retry.Attempt) (string, retry.Result, error) {
				c.begin(a)
				a.Leased("a")
				return "", retry.Result{}, sleep(ctx, time.Second)
			}); err != nil {
				t.Fatal(err)
			}
		}
		if n := c.number() - made; n < 15 || n > 24 { // of these and of the 200 before
			t.Errorf("%d of %d calls were made twice, want about 20", n, made)
		}
	})
}

func TestFailureOfOneDoesNotEndTheCallWhileTheOtherRuns(t *testing.T) {
	for _, failing := range []int{0, 1} {
		for _, v := range []retry.Verdict{retry.VerdictUnsent, retry.VerdictWorn, retry.VerdictFailed} {
			synctest.Test(t, func(t *testing.T) {
				h := newHedger(t, 3)
				var c calls
				addr, err := retry.RunHedged(t.Context(), h.Retrier, retry.Call{}, c.onOwn(func(ctx context.Context, k int) (retry.Verdict, error) {
					if k == failing {
						_ = sleep(ctx, soon)
						return v, errLost
					}
					return retry.VerdictDone, sleep(ctx, time.Second)
				}))
				if addr != server(1-failing) || err != nil {
					t.Errorf("call %d ended with %s: answer %q, error %v", failing, name(v), addr, err)
				}
			})
		}
	}
}

func TestErrorThatAnotherAttemptWouldNotChangeEndsTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHedger(t, 3)
		var c calls
		_, err := h.call(t.Context(), c.onOwn(func(ctx context.Context, k int) (retry.Verdict, error) {
			if k == 0 {
				return retry.VerdictFailed, sleep(ctx, time.Minute)
			}
			return retry.VerdictDone, errLost
		}))
		if !errors.Is(err, errLost) || c.number() != 2 {
			t.Errorf("error %v after %d calls", err, c.number())
		}
	})
}

func TestHedgedCallFailsWithTheLastErrorWhenBothHave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHedger(t, 3)
		last := errors.New("the last")
		var c calls
		begun := time.Now()
		_, err := retry.RunHedged(t.Context(), h.Retrier, retry.Call{}, c.onOwn(func(ctx context.Context, k int) (retry.Verdict, error) {
			_ = sleep(ctx, time.Duration(k+1)*time.Second)
			return retry.VerdictFailed, []error{errLost, last}[k]
		}))
		if d := time.Since(begun); !errors.Is(err, last) || c.number() != 2 || d < 2*time.Second {
			t.Errorf("error %v after %d calls and %v", err, c.number(), d)
		}
	})
}

func TestCallThatFailsInTimeIsRepeatedAndNotHedged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHedger(t, 3)
		var c calls
		addr, err := h.call(t.Context(), c.onOwn(func(_ context.Context, k int) (retry.Verdict, error) {
			return []retry.Verdict{retry.VerdictFailed, retry.VerdictDone}[k], []error{errLost, nil}[k]
		}))
		if addr != server(1) || err != nil || c.number() != 2 {
			t.Errorf("answer %q, error %v after %d calls", addr, err, c.number())
		}
	})
}

// The first call found a stale connection to one server, then failed on it, and
// waits for another: the second goes to neither.
func TestSecondCallExcludesEveryServerThatTheFirstHasAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHedger(t, 3)
		var c calls
		attempts := []struct {
			server string
			result
		}{{"a", fails(retry.VerdictStale)}, {"a", fails(retry.VerdictFailed)}, {"b", done()}, {"c", done()}}
		addr, err := h.call(t.Context(), func(ctx context.Context, a retry.Attempt) (string, retry.Result, error) {
			k := c.begin(a)
			do := attempts[k]
			if !a.Leased(do.server) {
				t.Errorf("attempt %d must not ask %s", k, do.server)
			}
			if do.server == "b" {
				do.err = sleep(ctx, time.Minute)
			}
			return do.server, retry.Result{Verdict: do.verdict, Endpoint: do.server}, do.err
		})
		if addr != "c" || err != nil {
			t.Errorf("answer %q, error %v", addr, err)
		}
		if want := [][]string{nil, nil, {"a"}, {"a", "b"}}; !slices.EqualFunc(c.excluded, want, slices.Equal) {
			t.Errorf("the calls exclude %q, want %q", c.excluded, want)
		}
	})
}

// All others go out of service as the second call begins, so that the pool offers the
// server again that is late. It would only get more to do.
func TestSecondCallIsNotMadeOnTheServerOfTheFirst(t *testing.T) {
	for _, first := range []result{done(), fails(retry.VerdictFailed)} {
		synctest.Test(t, func(t *testing.T) {
			h := newHedger(t, 3)
			var c calls
			refused := false
			v, err := retry.RunHedged(t.Context(), h.Retrier, retry.Call{}, func(ctx context.Context, a retry.Attempt) (string, retry.Result, error) {
				k := c.begin(a)
				if k > 0 {
					h.pool.out("b", "c")
				}
				if !a.Leased("a") {
					refused = true
					return "", retry.Result{Verdict: retry.VerdictNoServer}, nil
				}
				_ = sleep(ctx, time.Second)
				if k > 0 {
					return "second", retry.Result{Endpoint: "a"}, nil
				}
				return "first", retry.Result{Verdict: first.verdict, Endpoint: "a"}, first.err
			})
			if v != "first" || !errors.Is(err, first.err) || !refused {
				t.Errorf("answer %q, error %v; the second was refused: %v", v, err, refused)
			}
		})
	}
}

// The late server is ejected meanwhile: the other is asked, which has all the time of
// the call, since nobody is left after it.
func TestSecondCallGoesToTheOnlyServerThatIsNotLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHedger(t, 2)
		var c calls
		v, err := h.call(t.Context(), func(ctx context.Context, a retry.Attempt) (string, retry.Result, error) {
			if k := c.begin(a); k == 0 {
				a.Leased("a")
				h.pool.out("a")
				return "first", retry.Result{Endpoint: "a"}, sleep(ctx, time.Second)
			}
			h.pool.out()
			if !a.Leased("b") || !a.Until(ctx, "b", time.Now()).IsZero() {
				t.Error("b may not be asked, or not for as long as it takes")
			}
			return "second", retry.Result{Endpoint: "b"}, nil
		})
		if v != "second" || err != nil {
			t.Errorf("answer %q, error %v", v, err)
		}
	})
}

// A second call that finds no server says nothing of the call; the first does.
func TestSecondCallWithoutAServerDoesNotHideTheFailureOfTheFirst(t *testing.T) {
	none := errors.New("none to be had")
	for _, after := range []time.Duration{0, time.Minute} { // the second ends before the first, or after it
		synctest.Test(t, func(t *testing.T) {
			h := newHedger(t, 3)
			var c calls
			_, err := retry.RunHedged(t.Context(), h.Retrier, retry.Call{}, func(ctx context.Context, a retry.Attempt) (string, retry.Result, error) {
				if c.begin(a) > 0 {
					_ = sleep(ctx, after)
					return "", retry.Result{Verdict: retry.VerdictNoServer}, none
				}
				a.Leased("a")
				_ = sleep(ctx, time.Second)
				return "", retry.Result{Verdict: retry.VerdictFailed, Endpoint: "a"}, errLost
			})
			if !errors.Is(err, errLost) || c.number() != 2 {
				t.Errorf("error %v after %d calls", err, c.number())
			}
		})
	}
}

// The first call has lost its connection and finds no other, and the second may
// not ask the same server.
func TestHedgedCallThatRunsOutOfServersFailsWithTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHedger(t, 3)
		none := errors.New("none to be had")
		var c calls
		_, err := h.call(t.Context(), func(ctx context.Context, a retry.Attempt) (string, retry.Result, error) {
			switch c.begin(a) {
			case 0:
				a.Leased("a")
				return "", retry.Result{Verdict: retry.VerdictStale, Endpoint: "a"}, sleep(ctx, soon)
			case 1: // of the second
				_ = sleep(ctx, time.Second)
				return "", retry.Result{Verdict: retry.VerdictNoServer}, nil
			default:
				return "", retry.Result{Verdict: retry.VerdictNoServer}, none
			}
		})
		if !errors.Is(err, none) || c.number() != 3 {
			t.Errorf("error %v after %d calls", err, c.number())
		}
	})
}

func TestHedgedCallWithoutAServerFailsWithThatError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHedger(t, 3)
		none := errors.New("none to be had")
		_, err := h.call(t.Context(), func(context.Context, retry.Attempt) (string, retry.Result, error) {
			return "", retry.Result{Verdict: retry.VerdictNoServer}, none
		})
		if !errors.Is(err, none) {
			t.Errorf("error %v", err)
		}
	})
}

func TestHedgedCallEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHedger(t, 3)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		over := make(chan struct{})
		begun := time.Now()
		_, err := h.call(ctx, func(_ context.Context, a retry.Attempt) (string, retry.Result, error) {
			a.Leased("a")
			<-over // and does not look at its context
			return "", retry.Result{}, nil
		})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Second {
			t.Errorf("error %v after %v", err, time.Since(begun))
		}
		close(over)
	})
}

func TestPanicOfEitherCallIsRaisedInTheCaller(t *testing.T) {
	for panics := range 2 {
		synctest.Test(t, func(t *testing.T) {
			h := newHedger(t, 3)
			defer func() {
				if v, _ := recover().(string); !strings.Contains(v, "in the try") || !strings.Contains(v, "hedge_test.go") {
					t.Errorf("call %d: recovered %q", panics, v)
				}
			}()
			var c calls
			_, _ = h.call(t.Context(), c.onOwn(func(ctx context.Context, k int) (retry.Verdict, error) {
				if k == panics {
					panic("in the try")
				}
				return retry.VerdictDone, sleep(ctx, time.Minute)
			}))
			t.Errorf("call %d: it returned", panics)
		})
	}
}

func TestTryThatEndsItsGoroutineFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHedger(t, 3)
		_, err := h.call(t.Context(), func(context.Context, retry.Attempt) (string, retry.Result, error) {
			runtime.Goexit()
			return "", retry.Result{}, nil
		})
		if err == nil || !strings.Contains(err.Error(), "ended its goroutine") {
			t.Errorf("error %v", err)
		}
	})
}

// The other call may still answer.
func TestTryThatEndsItsGoroutineDoesNotEndTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHedger(t, 3)
		var c calls
		addr, err := h.call(t.Context(), c.onOwn(func(ctx context.Context, k int) (retry.Verdict, error) {
			_ = sleep(ctx, soon)
			if k == 0 {
				runtime.Goexit()
			}
			return retry.VerdictDone, nil
		}))
		if addr != server(1) || err != nil {
			t.Errorf("answer %q, error %v", addr, err)
		}
	})
}
