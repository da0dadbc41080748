package retry_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/retry"
)

// caller makes calls of one method that may be repeated, on servers of which some
// answer in a certain time and the others never.
type caller struct {
	*retry.Retrier
	pool     *pool
	call     retry.Call
	deadline time.Duration // 0: none
}

func newCaller(servers int) *caller {
	p := newPool(servers)
	return &caller{Retrier: retry.New(p), pool: p, call: retry.Call{Attempts: 3, Repeatable: true, Method: 1}, deadline: 500 * ms}
}

// do makes a call whose k-th attempt is answered after answer(k), and returns how
// long each attempt was given, in the end also the error.
func (c *caller) do(t *testing.T, answer func(k int) time.Duration) (took []time.Duration, err error) {
	t.Helper()
	ctx := t.Context()
	if c.deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.deadline)
		defer cancel()
	}
	_, err = retry.Run(ctx, c.Retrier, c.call, func(ctx context.Context, a retry.Attempt) (struct{}, retry.Result, error) {
		k := len(took)
		a.Leased(server(k))
		begun := time.Now()
		if until := a.Until(ctx, server(k), begun); !until.IsZero() {
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, until)
			defer cancel()
		}
		res := retry.Result{Endpoint: server(k)}
		err := sleep(ctx, answer(k))
		if err != nil {
			res.Verdict = retry.VerdictFailed
		}
		res.Took = time.Since(begun)
		took = append(took, res.Took)
		return struct{}{}, res, err
	})
	return took, err
}

func (c *caller) learn(t *testing.T, n int, answer time.Duration) {
	t.Helper()
	for range n {
		c.Count(1)
		if _, err := c.do(t, func(int) time.Duration { return answer }); err != nil {
			t.Fatal(err)
		}
	}
	c.Tick(1)
}

const never = time.Hour

// firstHangs is a call whose first server never answers.
func firstHangs(usual time.Duration) func(int) time.Duration {
	return func(k int) time.Duration {
		if k == 0 {
			return never
		}
		return usual
	}
}

func TestAttemptIsGivenUpInTimeToBeRepeated(t *testing.T) {
	for _, c := range []struct {
		name            string
		usual, deadline time.Duration
		least, most     time.Duration // of the first attempt
	}{
		{"fast answers", ms, 500 * ms, 100 * ms, 100 * ms},
		{"ten times the usual", 20 * ms, 2 * time.Second, 200 * ms, 260 * ms},
		{"no deadline", ms, 0, 100 * ms, 100 * ms},
		{"a short deadline", ms, 60 * ms, 20 * ms, 20 * ms},
		{"a very short deadline", 500 * time.Microsecond, 18 * ms, 10 * ms, 10 * ms},
		{"answers that take a fifth of the time", 100 * ms, 500 * ms, 300 * ms, 390 * ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				call := newCaller(3)
				call.deadline = c.deadline
				call.learn(t, 200, c.usual)
				took, err := call.do(t, firstHangs(c.usual))
				if err != nil || len(took) != 2 || took[0] < c.least || took[0] > c.most {
					t.Errorf("attempts of %v, error %v; want the first of %v to %v, and a second", took, err, c.least, c.most)
				}
			})
		})
	}
}

func TestAttemptHasAllTheTimeOfItsCall(t *testing.T) {
	for _, c := range []struct {
		name    string
		servers int
		change  func(t *testing.T, c *caller)
	}{
		{"when the call must not be repeated", 3, func(_ *testing.T, c *caller) { c.call.Repeatable = false }},
		{"when it is the last", 3, func(_ *testing.T, c *caller) { c.call.Attempts = 1 }},
		{"when there is no other server", 1, func(*testing.T, *caller) {}},
		{"when the others are down or ejected", 3, func(_ *testing.T, c *caller) { c.pool.out("b", "c") }},
		{"when too few answers are known", 3, func(_ *testing.T, c *caller) { c.call.Method = 2 }},
		{"when there is no time for another answer", 3, func(t *testing.T, c *caller) { c.learn(t, 300, 300*ms) }},
		{"when half of the budget is used up", 3, func(t *testing.T, c *caller) {
			for range 20 * budget {
				c.Allow(t.Context())
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				call := newCaller(c.servers)
				call.learn(t, 200, ms)
				c.change(t, call)
				if took, err := call.do(t, func(int) time.Duration { return 450 * ms }); err != nil || len(took) != 1 {
					t.Errorf("attempts of %v, error %v; want the answer of one of 450ms", took, err)
				}
			})
		})
	}
}

// TestAttemptIsNotGivenUpForServersThatAreLate is about a call that was late at one of
// two servers: the other is the last that it may ask, whatever attempts are left.
func TestAttemptIsNotGivenUpForServersThatAreLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		call := newCaller(2)
		call.learn(t, 200, ms)
		took, err := call.do(t, func(k int) time.Duration { return []time.Duration{never, 300 * ms, never}[k] })
		if err != nil || len(took) != 2 || took[1] != 300*ms {
			t.Errorf("attempts of %v, error %v; want the answer of the second after 300ms", took, err)
		}
	})
}

// A call that finds out whether an ejected server is back must not be lost when it is not.
func TestAttemptAtAServerThatIsOutIsGivenUpForTheOnlyOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		call := newCaller(2)
		call.learn(t, 200, ms)
		call.pool.out("a")
		took, err := call.do(t, firstHangs(ms))
		if err != nil || len(took) != 2 || took[0] != 100*ms {
			t.Errorf("attempts of %v, error %v; want the first of 100ms, and a second", took, err)
		}
	})
}

func TestSlowMethodIsNotCutShortBesideAFastOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(3)
		slow := *c
		slow.call.Method = 2
		for range 100 {
			c.learn(t, 10, ms)
			if took, err := slow.do(t, func(int) time.Duration { return 300 * ms }); err != nil || len(took) != 1 {
				t.Fatalf("attempts of %v, error %v; want the answer of one of 300ms", took, err)
			}
		}
	})
}

func TestLongAnswerAmongShortOnesIsNotCutShortTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(3)
		long := func(int) time.Duration { return 250 * ms }
		c.learn(t, 2000, ms)
		if _, err := c.do(t, long); err != nil {
			t.Errorf("the first long answer: %v", err)
		}
		for range 20 {
			c.learn(t, 500, ms)
			if took, err := c.do(t, long); err != nil || len(took) != 1 {
				t.Fatalf("attempts of %v, error %v; want the answer of one of 250ms", took, err)
			}
		}
	})
}

func TestServersThatBecomeSlowAreGivenTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(3)
		c.learn(t, 2000, ms)
		lost := 0
		for range 100 {
			if _, err := c.do(t, func(int) time.Duration { return 400 * ms }); err != nil {
				lost++
			}
		}
		if lost > 2 {
			t.Errorf("%d of 100 calls are lost that would have been answered in 400 of 500ms", lost)
		}
	})
}
