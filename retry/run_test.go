package retry_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/retry"
)

// TestTableOfWhatIsRepeated has the table of the package comment, row by row.
func TestTableOfWhatIsRepeated(t *testing.T) {
	for _, row := range []struct {
		verdict                    retry.Verdict
		attempt, token, repeatable bool // what another attempt needs
		never                      bool
		excludes, bars, takesToken bool // what it does to the server, and to the budget
	}{
		{verdict: retry.VerdictDone, never: true},
		{verdict: retry.VerdictStale},
		{verdict: retry.VerdictUnsent, attempt: true, excludes: true},
		{verdict: retry.VerdictRefused, attempt: true, token: true, excludes: true, takesToken: true},
		{verdict: retry.VerdictWorn, attempt: true, token: true, repeatable: true, excludes: true, takesToken: true},
		{verdict: retry.VerdictFailed, attempt: true, token: true, repeatable: true, excludes: true, takesToken: true},
		{verdict: retry.VerdictOverload, attempt: true, token: true, repeatable: true, excludes: true, bars: true, takesToken: true},
		{verdict: retry.VerdictNoServer, never: true},
	} {
		for _, attempt := range []bool{false, true} {
			for _, token := range []bool{false, true} {
				for _, repeatable := range []bool{false, true} {
					what := fmt.Sprintf("%s with an attempt left %v, a token %v, repeatable %v", name(row.verdict), attempt, token, repeatable)
					synctest.Test(t, func(t *testing.T) {
						p := newPool(2)
						r := retry.New(p)
						if !token {
							tokens(t, r)
						}
						c := retry.Call{Attempts: 1, Repeatable: repeatable}
						if attempt {
							c.Attempts = 2
						}
						again := !row.never && (attempt || !row.attempt) && (token || !row.token) && (repeatable || !row.repeatable)

						attempts, value, err := play(t.Context(), r, c, fails(row.verdict), done())

						if got := len(attempts) == 2; got != again || len(attempts) > 2 {
							t.Fatalf("%s: %d attempts, want another: %v", what, len(attempts), again)
						}
						left := 0
						if token {
							left = budget
							if again && row.takesToken {
								left--
							}
						}
						if n := tokens(t, r); n != left {
							t.Errorf("%s: %d tokens are left, want %d", what, n, left)
						}
						if !again {
							if value != 0 || !errors.Is(err, errLost) {
								t.Errorf("%s: returned %d, %v; want those of the only attempt", what, value, err)
							}
							return
						}
						if value != 1 || err != nil {
							t.Errorf("%s: returned %d, %v; want those of the second attempt", what, value, err)
						}
						if got := slices.Equal(attempts[1].Excluded, []string{server(0)}); got != row.excludes || !got && attempts[1].Excluded != nil {
							t.Errorf("%s: the next attempt excludes %q", what, attempts[1].Excluded)
						}
						p.out("b")
						if allowed := attempts[1].Leased("a"); allowed == row.bars {
							t.Errorf("%s: the same server may be asked again when the other is out: %v", what, allowed)
						}
					})
				}
			}
		}
	}
}

func TestFirstAttemptIsTheZeroOne(t *testing.T) {
	attempts, _, _ := play(t.Context(), retry.New(newPool(1)), retry.Call{}, done())
	if a := attempts[0]; a.Err != nil || a.Excluded != nil || !a.Leased(server(0)) {
		t.Errorf("the first attempt: %+v", a)
	}
}

func TestAttemptsBoundTheServersAsked(t *testing.T) {
	for attempts, want := range map[int]int{-1: 1, 0: 1, 1: 1, 2: 2, 5: 5} {
		for _, v := range []retry.Verdict{retry.VerdictUnsent, retry.VerdictRefused, retry.VerdictWorn, retry.VerdictFailed} {
			made, value, err := play(t.Context(), retry.New(newPool(9)), retry.Call{Attempts: attempts, Repeatable: true}, fails(v))
			if len(made) != want || value != want-1 || !errors.Is(err, errLost) {
				t.Errorf("Attempts %d, all %s: %d attempts, then %d, %v", attempts, name(v), len(made), value, err)
			}
			for k, a := range made {
				var before []string
				for i := range k {
					before = append(before, server(i))
				}
				if !slices.Equal(a.Excluded, before) || (a.Err != nil) != (k > 0) {
					t.Errorf("Attempts %d, all %s: attempt %d excludes %q, knows the error %v", attempts, name(v), k, a.Excluded, a.Err)
				}
			}
		}
	}
}

func TestAttemptKnowsTheErrorOfTheOneBefore(t *testing.T) {
	stale, other := errors.New("stale"), errors.New("another")
	attempts, _, err := play(t.Context(), retry.New(newPool(3)), retry.Call{Attempts: 3},
		result{retry.VerdictUnsent, errLost}, result{retry.VerdictStale, stale}, result{retry.VerdictUnsent, other}, done())
	var got []error
	for _, a := range attempts {
		got = append(got, a.Err)
	}
	if want := []error{nil, errLost, stale, other}; err != nil || !slices.Equal(got, want) {
		t.Errorf("error %v; the attempts know %v, want %v", err, got, want)
	}
}

func TestStaleConnectionsAreNotCountedButBounded(t *testing.T) {
	const bound = 16
	for _, attempts := range []int{1, 3} {
		made, value, err := play(t.Context(), retry.New(newPool(1)), retry.Call{Attempts: attempts}, fails(retry.VerdictStale))
		if want := bound + attempts; len(made) != want || value != want-1 || !errors.Is(err, errLost) {
			t.Errorf("Attempts %d: %d connections were stale, then %d, %v; want %d", attempts, len(made), value, err, want)
		}
		for k, a := range made[:bound+1] {
			if a.Excluded != nil {
				t.Errorf("Attempts %d: after %d stale connections %q are excluded", attempts, k, a.Excluded)
			}
		}
	}
	var mixed []result
	for range bound / 2 {
		mixed = append(mixed, fails(retry.VerdictStale), fails(retry.VerdictFailed))
	}
	made, _, _ := play(t.Context(), retry.New(newPool(99)), retry.Call{Attempts: bound / 2, Repeatable: true}, mixed...)
	if len(made) != bound {
		t.Errorf("%d attempts, want %d of each kind", len(made), bound/2)
	}
}

func TestNothingIsRepeatedOnceTheContextIsDone(t *testing.T) {
	for v := retry.VerdictDone; v <= retry.VerdictNoServer; v++ {
		r := retry.New(newPool(2))
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		_, err := retry.Run(ctx, r, retry.Call{Attempts: 5, Repeatable: true}, func(context.Context, retry.Attempt) (int, retry.Result, error) {
			if err := ctx.Err(); err != nil { // as the pool says when it is asked for a connection
				return 0, retry.Result{Verdict: retry.VerdictNoServer}, err
			}
			n++
			cancel()
			return 0, retry.Result{Verdict: v, Endpoint: "a"}, errLost
		})
		want := errLost
		if v == retry.VerdictStale {
			want = context.Canceled // the reason why there is no answer
		}
		if n != 1 || !errors.Is(err, want) {
			t.Errorf("%s: %d attempts, error %v", name(v), n, err)
		}
		if left := tokens(t, r); left != budget {
			t.Errorf("%s: %d tokens are left, want all", name(v), left)
		}
	}
}

func TestNoTokenIsGivenWhenTheDeadlineIsNearerThanTheAverageLatency(t *testing.T) {
	for _, c := range []struct {
		name           string
		latency, after time.Duration // the deadline; 0 is none
		want           bool
	}{
		{"no deadline", 100 * ms, 0, true},
		{"a later deadline", 100 * ms, 101 * ms, true},
		{"a deadline just as far", 100 * ms, 100 * ms, true},
		{"a nearer deadline", 100 * ms, 99 * ms, false},
		{"an unknown latency", 0, ms, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newPool(2)
			p.latency = c.latency
			ctx := t.Context()
			if c.after > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, c.after)
				defer cancel()
			}
			for _, v := range []retry.Verdict{retry.VerdictRefused, retry.VerdictWorn, retry.VerdictFailed} {
				r := retry.New(p)
				made, _, _ := play(ctx, r, retry.Call{Attempts: 2, Repeatable: true}, fails(v), done())
				if again := len(made) == 2; again != c.want {
					t.Errorf("%s: a call that ended with %s is repeated: %v", c.name, name(v), again)
				}
				if left := tokens(t, r); (left < budget) != c.want {
					t.Errorf("%s: %d tokens are left", c.name, left)
				}
			}
			// What was not sent has cost no time: it is as good as new.
			for _, v := range []retry.Verdict{retry.VerdictStale, retry.VerdictUnsent} {
				if made, _, err := play(ctx, retry.New(p), retry.Call{Attempts: 2}, fails(v), done()); len(made) != 2 || err != nil {
					t.Errorf("%s: a call that ended with %s: %d attempts, error %v", c.name, name(v), len(made), err)
				}
			}
		})
	}
}

func TestBudgetBoundsRepeatedCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := retry.New(newPool(2))
		call := func() bool {
			made, _, _ := play(t.Context(), r, retry.Call{Attempts: 2, Repeatable: true}, fails(retry.VerdictFailed), done())
			return len(made) == 2
		}
		n := 0
		for call() {
			n++
		}
		if n != budget {
			t.Errorf("%d calls were repeated, want %d", n, budget)
		}
		time.Sleep(time.Second)
		if n = 0; !call() {
			t.Error("a second later no call is repeated")
		}
		for call() {
			n++
		}
		r.Count(1000) // a fifth of these
		time.Sleep(time.Second)
		for n = 0; call(); n++ {
		}
		if n < 150 || n > 210 {
			t.Errorf("a second with 1000 calls allows %d repeated ones, want about 200", n)
		}
	})
}

func TestNoServerWithoutAnErrorKeepsTheOutcomeBefore(t *testing.T) {
	for _, v := range []retry.Verdict{retry.VerdictStale, retry.VerdictUnsent, retry.VerdictRefused, retry.VerdictWorn, retry.VerdictFailed} {
		for _, before := range []error{errLost, nil} { // nil as after a response that says the server has failed
			made, value, err := play(t.Context(), retry.New(newPool(2)), retry.Call{Attempts: 9, Repeatable: true},
				result{v, before}, result{retry.VerdictNoServer, nil})
			if len(made) != 2 || value != 0 || !errors.Is(err, before) {
				t.Errorf("after %s: %d attempts, %d, %v; want the value and error %v of the first", name(v), len(made), value, err, before)
			}
		}
	}
}

func TestNoServerWithAnErrorEndsTheCallWithIt(t *testing.T) {
	none := errors.New("none to be had")
	made, value, err := play(t.Context(), retry.New(newPool(2)), retry.Call{Attempts: 9, Repeatable: true},
		fails(retry.VerdictFailed), result{retry.VerdictNoServer, none})
	if len(made) != 2 || value != 1 || !errors.Is(err, none) {
		t.Errorf("%d attempts, %d, %v", len(made), value, err)
	}
}

// Which servers may get a call that must not be lost, once others have failed it or have
// too much to do. An attempt that could go nowhere costs no token and no connection.
func TestServerIsAskedAgainOnlyWhereNoOtherIsLeft(t *testing.T) {
	failed, overload := fails(retry.VerdictFailed), fails(retry.VerdictOverload)
	for _, c := range []struct {
		name    string
		servers int
		out     []string
		before  []result // of a, b and so on
		next    string   // which servers may get the next attempt; empty: there is none
	}{
		{"another has not been asked", 3, nil, []result{failed}, "abc"}, // the pool prefers it
		{"the others are out", 3, []string{"b", "c"}, []result{failed}, "abc"},
		{"all have failed", 2, nil, []result{failed, failed}, ""},
		{"all that are not out have failed", 3, []string{"c"}, []result{failed, failed}, ""},
		{"the only one has failed", 1, nil, []result{failed}, "a"},
		{"another is not overloaded", 2, nil, []result{overload}, "b"},
		{"the only one is overloaded", 1, nil, []result{overload}, ""},
		{"the others are out, and it is overloaded", 3, []string{"b", "c"}, []result{overload}, ""},
		{"all are overloaded", 2, nil, []result{overload, overload}, ""},
		{"one is overloaded, the other failed", 2, nil, []result{overload, failed}, "b"},
		{"one failed, the other is overloaded", 2, nil, []result{failed, overload}, "a"},
		{"one is overloaded, two failed", 3, nil, []result{overload, failed, failed}, ""},
		{"one is overloaded and out, the other failed", 2, []string{"a"}, []result{overload, failed}, "b"},
	} {
		p := newPool(c.servers)
		p.out(c.out...)
		r := retry.New(p)
		made, _, _ := play(t.Context(), r, retry.Call{Attempts: len(c.before) + 1, Repeatable: true}, append(slices.Clip(c.before), done())...)
		next := ""
		if len(made) > len(c.before) {
			for k := range c.servers {
				if made[len(c.before)].Leased(server(k)) {
					next += server(k)
				}
			}
		}
		if next != c.next {
			t.Errorf("%s: %q may be asked, want %q", c.name, next, c.next)
		}
		if used := budget - tokens(t, r); used != len(made)-1 {
			t.Errorf("%s: %d tokens for %d attempts", c.name, used, len(made))
		}
	}
}

// Between the end of an attempt and the lease of the next, servers come and go.
func TestServerThatFailedIsAskedAgainRatherThanNone(t *testing.T) {
	p := newPool(2)
	p.out("b")
	made, _, _ := play(t.Context(), retry.New(p), retry.Call{Attempts: 2, Repeatable: true}, fails(retry.VerdictFailed), done())
	if p.out(); len(made) != 2 || !made[1].Leased("a") {
		t.Error("b has come back after a was leased, and the call is lost")
	}
}

// It is all the same to the call whether there is no other server or they are out.
func TestCallIsRepeatedOnTheOnlyServerThatIsAvailable(t *testing.T) {
	for out := range 3 {
		p := newPool(1 + out)
		p.out([]string{"b", "c"}[:out]...)
		asked := 0
		v, err := retry.Run(t.Context(), retry.New(p), retry.Call{Attempts: 3, Repeatable: true},
			func(_ context.Context, a retry.Attempt) (string, retry.Result, error) {
				if !a.Leased(server(0)) {
					return "", retry.Result{Verdict: retry.VerdictNoServer}, nil
				}
				if asked++; asked < 3 {
					return "", retry.Result{Verdict: retry.VerdictFailed, Endpoint: server(0)}, errLost
				}
				return "answer", retry.Result{Endpoint: server(0)}, nil
			})
		if v != "answer" || err != nil || asked != 3 {
			t.Errorf("%d servers out: %q, %v after %d attempts", out, v, err, asked)
		}
	}
}

func TestPanicPassesThroughRun(t *testing.T) {
	defer func() {
		if v := recover(); v != "in the try" {
			t.Errorf("recovered %v", v)
		}
	}()
	_, _ = retry.Run(t.Context(), retry.New(newPool(1)), retry.Call{}, func(context.Context, retry.Attempt) (int, retry.Result, error) {
		panic("in the try")
	})
	t.Error("it returned")
}

func TestRunOfACallThatSucceedsAllocatesNothing(t *testing.T) {
	r, ctx := retry.New(newPool(3)), t.Context()
	for name, f := range map[string]func(){
		"a function": func() {
			_, _ = retry.Run(ctx, r, retry.Call{Attempts: 3, Repeatable: true}, answer)
		},
		"a closure that captures": func() {
			calls, addr := 0, "a"
			v, err := retry.Run(ctx, r, retry.Call{Attempts: 3, Repeatable: true}, func(_ context.Context, a retry.Attempt) (int, retry.Result, error) {
				if !a.Leased(addr) || len(a.Excluded) > 0 {
					return 0, retry.Result{Verdict: retry.VerdictNoServer}, errLost
				}
				calls++
				return calls, retry.Result{Endpoint: addr}, nil
			})
			if v != 1 || err != nil || calls != 1 {
				t.Errorf("%d, %v after %d calls", v, err, calls)
			}
		},
	} {
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s: %v allocations, want none", name, n)
		}
	}
}

func answer(_ context.Context, a retry.Attempt) (string, retry.Result, error) {
	a.Leased("a")
	return "answer", retry.Result{Endpoint: "a"}, nil
}
