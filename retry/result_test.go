package retry_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/retry"
)

// attempt is what one attempt of a script returns.
type attempt struct {
	addr    string
	verdict retry.Verdict
	err     error
}

// script returns a try that returns one attempt after the other, each with its
// number from 1 as the value, and notes which values are discarded.
func script(attempts ...attempt) (try func(context.Context, retry.Attempt) (int, retry.Result, error), seen *[]retry.Attempt, discarded *[]int) {
	seen, discarded = new([]retry.Attempt), new([]int)
	return func(_ context.Context, a retry.Attempt) (int, retry.Result, error) {
		*seen = append(*seen, a)
		n := len(*seen)
		next := attempts[n-1]
		if next.verdict != retry.VerdictNoServer && !a.Leased(next.addr) {
			return 0, retry.Result{Verdict: retry.VerdictNoServer}, nil
		}
		return n, retry.Result{
			Verdict: next.verdict, Endpoint: next.addr, Discard: func() { *discarded = append(*discarded, n) },
		}, next.err
	}, seen, discarded
}

func TestOverloadedServerIsNotAskedAgain(t *testing.T) {
	overload := attempt{"a", retry.VerdictOverload, errLost}
	for servers, want := range map[int]int{1: 1, 2: 2} {
		try, seen, _ := script(overload, overload, overload)
		v, err := retry.Run(t.Context(), retry.New(newPool(servers)), retry.Call{Attempts: 3, Repeatable: true}, try)
		if v != 1 || !errors.Is(err, errLost) || len(*seen) != want {
			t.Errorf("%d servers: %d, %v after %d attempts; want the first answer after %d", servers, v, err, len(*seen), want)
		}
	}
	try, _, _ := script(overload, attempt{"b", retry.VerdictDone, nil})
	if v, err := retry.Run(t.Context(), retry.New(newPool(2)), retry.Call{Attempts: 3, Repeatable: true}, try); v != 2 || err != nil {
		t.Errorf("the other server: %d, %v", v, err)
	}
	try, _, _ = script(overload)
	if v, err := retry.Run(t.Context(), retry.New(newPool(2)), retry.Call{Attempts: 3}, try); v != 1 || !errors.Is(err, errLost) {
		t.Errorf("a call that must not be executed twice: %d, %v", v, err)
	}
}

func TestValueThatTheCallerDoesNotGetIsDiscarded(t *testing.T) {
	fail := attempt{"a", retry.VerdictFailed, errLost}
	for _, c := range []struct {
		name     string
		attempts []attempt
		value    int
		want     []int
	}{
		{"none", []attempt{{"a", retry.VerdictDone, nil}}, 1, nil},
		{"the first", []attempt{fail, {"b", retry.VerdictDone, nil}}, 2, []int{1}},
		{"all but the last", []attempt{fail, {"b", retry.VerdictFailed, errLost}, {"c", retry.VerdictFailed, errLost}}, 3, []int{1, 2}},
		{"none, for the first stands", []attempt{fail, {"", retry.VerdictNoServer, nil}}, 1, nil},
		{"the first, for the second says why it ends", []attempt{fail, {"", retry.VerdictNoServer, errLost}}, 2, []int{1}},
	} {
		try, _, discarded := script(c.attempts...)
		v, _ := retry.Run(t.Context(), retry.New(newPool(3)), retry.Call{Attempts: 3, Repeatable: true}, try)
		if v != c.value || !slices.Equal(*discarded, c.want) {
			t.Errorf("%s: returned %d, discarded %v, want %d and %v", c.name, v, *discarded, c.value, c.want)
		}
	}
}

// branch is what one of two hedged calls does.
type branch struct {
	takes   time.Duration
	verdict retry.Verdict
	err     error
}

func TestCallerGetsTheValueOfOneOfTwoHedgedCallsAndTheOtherIsDiscarded(t *testing.T) {
	late, soon := time.Second, ms
	notAsked := errors.New("of a branch that finds no other server")
	for _, c := range []struct {
		name          string
		first, second branch
		leaves        time.Duration // the caller, 0: does not
		value         int
		want          []int
	}{
		{"the first wins", branch{50 * ms, retry.VerdictDone, nil}, branch{late, retry.VerdictDone, nil}, 0, 1, []int{2}},
		{"the second wins", branch{late, retry.VerdictDone, nil}, branch{soon, retry.VerdictDone, nil}, 0, 2, []int{1}},
		{"a failure does not win", branch{late, retry.VerdictDone, nil}, branch{soon, retry.VerdictFailed, errLost}, 0, 1, []int{2}},
		{"both fail", branch{late, retry.VerdictFailed, errLost}, branch{soon, retry.VerdictFailed, errLost}, 0, 1, []int{2}},
		{"no server says less than a failure", branch{late, retry.VerdictNoServer, errLost}, branch{soon, retry.VerdictFailed, errLost}, 0, 2, []int{1}},
		{"there is no other server", branch{late, retry.VerdictNoServer, errLost}, branch{soon, retry.VerdictNoServer, notAsked}, 0, 1, nil},
		{"the caller leaves", branch{late, retry.VerdictDone, nil}, branch{late, retry.VerdictDone, nil}, 100 * ms, 0, []int{1, 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHedger(t, 3)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.leaves > 0 {
					time.AfterFunc(c.leaves, cancel)
				}
				var mu sync.Mutex
				var discarded []int
				got, err := retry.RunHedged(ctx, h.Retrier, retry.Call{Attempts: 1, Repeatable: true},
					func(_ context.Context, a retry.Attempt) (int, retry.Result, error) {
						n, b, addr := 1, c.first, "a"
						if a.Excluded != nil {
							n, b, addr = 2, c.second, "b"
							if errors.Is(b.err, notAsked) && a.Leased("a") {
								t.Error("the second call is made on the server of the first")
							}
						}
						if errors.Is(b.err, notAsked) {
							return 0, retry.Result{Verdict: retry.VerdictNoServer}, nil
						}
						a.Leased(addr)
						time.Sleep(b.takes)
						discard := func() {
							mu.Lock()
							defer mu.Unlock()
							discarded = append(discarded, n)
						}
						return n, retry.Result{Verdict: b.verdict, Endpoint: addr, Discard: discard}, b.err
					})
				if c.value == 0 != errors.Is(err, context.Canceled) || got != c.value {
					t.Errorf("got %d, %v, want %d", got, err, c.value)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				slices.Sort(discarded)
				if !slices.Equal(discarded, c.want) {
					t.Errorf("discarded %v, want %v", discarded, c.want)
				}
			})
		})
	}
}
