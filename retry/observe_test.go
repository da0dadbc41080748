package retry_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/retry"
)

// watcher notes what an observer sees, and marks the contexts of attempts.
type watcher struct {
	name string
	log  *[]string
}

type mark struct{ name string }

func (w watcher) Begin(ctx context.Context, a retry.Info) context.Context {
	*w.log = append(*w.log, fmt.Sprintf("%s begins %d", w.name, a.Number))
	return context.WithValue(ctx, mark{w.name}, a.Number)
}

func (w watcher) End(ctx context.Context, a retry.Info) {
	*w.log = append(*w.log, fmt.Sprintf("%s ends %d", w.name, ctx.Value(mark{w.name})))
}

// at is an attempt at a server that waits for its connection and takes some time.
func at(addr string, wait, takes time.Duration, res retry.Result, err error) func(context.Context, retry.Attempt) (int, retry.Result, error) {
	return func(_ context.Context, a retry.Attempt) (int, retry.Result, error) {
		time.Sleep(wait)
		a.Leased(addr)
		time.Sleep(takes)
		res.Endpoint = addr
		return 0, res, err
	}
}

func TestObserverSeesEveryAttemptWithItsServerTimesAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := retry.New(newPool(3))
		var log retry.Log
		r.Observe(&log)
		tries := []func(context.Context, retry.Attempt) (int, retry.Result, error){
			at("a", 5*ms, 0, retry.Result{Verdict: retry.VerdictStale, Outcome: balance.OutcomeNeutral}, errLost),
			at("b", 0, 20*ms, retry.Result{Verdict: retry.VerdictFailed, Outcome: balance.OutcomeFailure, Code: 502}, errLost),
			at("c", 1*ms, 3*ms, retry.Result{Code: 200}, nil),
		}
		k := 0
		if _, err := retry.Run(t.Context(), r, retry.Call{Attempts: 3, Repeatable: true, Name: "get"},
			func(ctx context.Context, a retry.Attempt) (int, retry.Result, error) {
				k++
				return tries[k-1](ctx, a)
			}); err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		want := []retry.Info{
			{Name: "get", Number: 1, Began: now.Add(-29 * ms), Endpoint: "a", Wait: 5 * ms, Verdict: retry.VerdictStale, Outcome: balance.OutcomeNeutral, Err: errLost},
			{Name: "get", Number: 2, Began: now.Add(-24 * ms), Endpoint: "b", Latency: 20 * ms, Verdict: retry.VerdictFailed, Outcome: balance.OutcomeFailure, Code: 502, Err: errLost},
			{Name: "get", Number: 3, Began: now.Add(-4 * ms), Endpoint: "c", Wait: ms, Latency: 3 * ms, Code: 200},
		}
		if got := log.Attempts(); !slices.EqualFunc(got, want, func(a, b retry.Info) bool {
			same := a.Began.Equal(b.Began)
			a.Began, b.Began = time.Time{}, time.Time{}
			return same && a == b
		}) {
			t.Errorf("saw %+v\nwant %+v", got, want)
		}
		if log.Answered() != "c" {
			t.Errorf("answered by %q", log.Answered())
		}
	})
}

// An attempt that may not use the connection that it got has asked no server.
func TestObserverSeesNoServerOfAnAttemptThatAskedNone(t *testing.T) {
	r := retry.New(newPool(2))
	var log retry.Log
	r.Observe(&log)
	_, err := retry.Run(t.Context(), r, retry.Call{Attempts: 2, Repeatable: true}, func(_ context.Context, a retry.Attempt) (int, retry.Result, error) {
		if !a.Leased("a") {
			return 0, retry.Result{Verdict: retry.VerdictNoServer}, nil
		}
		return 0, retry.Result{Verdict: retry.VerdictOverload, Endpoint: "a"}, errLost
	})
	seen := log.Attempts()
	if !errors.Is(err, errLost) || len(seen) != 2 || seen[0].Endpoint != "a" || seen[1].Endpoint != "" {
		t.Errorf("error %v, attempts %+v", err, seen)
	}
}

func TestAttemptHasTheContextThatItsObserversMake(t *testing.T) {
	r := retry.New(newPool(2))
	var log []string
	r.Observe(watcher{"first", &log})
	r.Observe(watcher{"second", &log})
	ctx := retry.WithObserver(retry.WithObserver(t.Context(), watcher{"third", &log}), watcher{"fourth", &log})
	var other retry.Log
	_ = retry.WithObserver(ctx, &other) // a context beside it
	_, err := retry.Run(ctx, r, retry.Call{}, func(ctx context.Context, _ retry.Attempt) (int, retry.Result, error) {
		for _, name := range []string{"first", "second", "third", "fourth"} {
			if ctx.Value(mark{name}) != 1 {
				t.Errorf("the context of the attempt is not that of the %s", name)
			}
		}
		return 0, retry.Result{}, nil
	})
	want := []string{"first begins 1", "second begins 1", "third begins 1", "fourth begins 1", "fourth ends 1", "third ends 1", "second ends 1", "first ends 1"}
	if err != nil || !slices.Equal(log, want) || len(other.Attempts()) > 0 {
		t.Errorf("%q, %v, %d elsewhere; want %q", log, err, len(other.Attempts()), want)
	}
}

// grumpy is an observer that panics and returns no context.
type grumpy struct{ begin bool }

func (g grumpy) Begin(context.Context, retry.Info) context.Context {
	if g.begin {
		panic("in Begin")
	}
	return nil
}
func (grumpy) End(context.Context, retry.Info) { panic("in End") }

func TestObserverThatPanicsHarmsNoCallAndNoOtherObserver(t *testing.T) {
	r := retry.New(newPool(2))
	var before, after retry.Log
	for _, o := range []retry.Observer{&before, grumpy{true}, grumpy{false}, &after} {
		r.Observe(o)
	}
	v, err := retry.Run(t.Context(), r, retry.Call{}, func(ctx context.Context, _ retry.Attempt) (int, retry.Result, error) {
		return 7, retry.Result{}, ctx.Err()
	})
	if v != 7 || err != nil || len(before.Attempts()) != 1 || len(after.Attempts()) != 1 {
		t.Errorf("%d, %v; %d and %d attempts seen", v, err, len(before.Attempts()), len(after.Attempts()))
	}
}

func TestObserverSeesTheEndOfAnAttemptThatPanics(t *testing.T) {
	r := retry.New(newPool(2))
	var log retry.Log
	r.Observe(&log)
	func() {
		defer func() {
			if recover() != "in the try" {
				t.Error("the panic does not pass through")
			}
		}()
		_, _ = retry.Run(t.Context(), r, retry.Call{}, func(context.Context, retry.Attempt) (int, retry.Result, error) { panic("in the try") })
	}()
	if all := log.Attempts(); len(all) != 1 || all[0].Err == nil || all[0].Verdict != retry.VerdictFailed || log.Answered() != "" {
		t.Errorf("%+v", all)
	}
}

func TestObserverMayBeAddedWhileCallsRun(t *testing.T) {
	r := retry.New(newPool(2))
	var all sync.WaitGroup
	logs := make([]retry.Log, 8)
	for i := range logs {
		all.Go(func() { r.Observe(&logs[i]) })
		all.Go(func() { _, _ = retry.Run(t.Context(), r, retry.Call{}, answer) })
	}
	all.Wait()
	before := len(logs[0].Attempts())
	_, _ = retry.Run(t.Context(), r, retry.Call{}, answer)
	for i := range logs {
		if n := len(logs[i].Attempts()); n == 0 || i == 0 && n != before+1 {
			t.Errorf("observer %d has seen %d attempts", i, n)
		}
	}
	if !r.Observed(t.Context()) || retry.New(newPool(1)).Observed(t.Context()) {
		t.Error("a Retrier does not know whether it has observers")
	}
}

func TestPoolIsToldOfRepeatedAttempts(t *testing.T) {
	p := newPool(3)
	_, _, _ = play(t.Context(), retry.New(p), retry.Call{Attempts: 3, Repeatable: true}, fails(retry.VerdictStale), fails(retry.VerdictFailed), fails(retry.VerdictFailed), done())
	// The attempt on a stale connection does not count: the next one is the first.
	if want := []string{"repeated " + server(2), "repeated " + server(3)}; !slices.Equal(p.noted(), want) {
		t.Errorf("told of %q, want %q", p.noted(), want)
	}
}

func TestPoolAndObserversAreToldHowHedgesEnd(t *testing.T) {
	for want, does := range map[string]func(ctx context.Context, k int) (retry.Verdict, error){
		"won": func(ctx context.Context, k int) (retry.Verdict, error) {
			if k == 0 {
				return retry.VerdictFailed, sleep(ctx, time.Minute)
			}
			return retry.VerdictDone, nil
		},
		"lost": func(ctx context.Context, k int) (retry.Verdict, error) {
			return retry.VerdictDone, sleep(ctx, time.Duration(k+1)*soon)
		},
		"failed": func(ctx context.Context, k int) (retry.Verdict, error) {
			if k == 0 {
				return retry.VerdictDone, sleep(ctx, time.Second)
			}
			return retry.VerdictOverload, errLost
		},
	} {
		t.Run(want, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHedger(t, 3)
				var log retry.Log
				h.Observe(&log)
				var c calls
				if _, err := retry.RunHedged(t.Context(), h.Retrier, retry.Call{Attempts: 1, Repeatable: true}, c.onOwn(does)); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				time.Sleep(time.Second)
				if told := h.pool.noted(); !slices.Equal(told, []string{want + " " + server(1)}) {
					t.Errorf("the pool is told of %q", told)
				}
				for _, a := range log.Attempts() {
					if second := a.Endpoint == server(1); a.Hedged != second {
						t.Errorf("of a hedged call: %+v", a)
					}
				}
				if n := len(log.Attempts()); n != 2 {
					t.Errorf("%d attempts are seen", n)
				}
			})
		})
	}
}

func TestContextOfAnObserverReachesTheTryOfAHedgedCall(t *testing.T) {
	r := retry.New(newPool(1))
	var log []string
	r.Observe(watcher{"first", &log})
	if _, err := retry.RunHedged(t.Context(), r, retry.Call{}, func(ctx context.Context, _ retry.Attempt) (int, retry.Result, error) {
		if ctx.Value(mark{"first"}) != 1 {
			return 0, retry.Result{}, errors.New("it does not")
		}
		return 0, retry.Result{}, nil
	}); err != nil {
		t.Error(err)
	}
}
