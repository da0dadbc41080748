package core_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

// tries makes one call with Do, which fails as fail says, and returns the
// servers that it reached.
func tries(ctx context.Context, p *core.Pool[*link], fail func(addr string) error, opts ...core.CallOption) (servers []string, err error) {
	err = p.Do(ctx, func(_ context.Context, l *link) error {
		servers = append(servers, l.server.addr)
		return fail(l.server.addr)
	}, opts...)
	return servers, err
}

func always(err error) func(string) error { return func(string) error { return err } }

func TestDoRetriesOnOtherServersAsOftenAsItIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1", "c:1")
		p := f.pool(core.WithoutOutlierDetection())
		for n, want := range map[int]int{-1: 1, 0: 1, 1: 1, 2: 2, 3: 3, 4: 3, 100: 3} {
			servers, err := tries(t.Context(), p, always(errBroken), core.Attempts(n))
			if len(servers) != want || !errors.Is(err, errBroken) {
				t.Errorf("Attempts(%d): called %v, error %v", n, servers, err)
			}
			if slices.Sort(servers); len(slices.Compact(servers)) != want {
				t.Errorf("Attempts(%d): the same server twice", n)
			}
		}
		if servers, _ := tries(t.Context(), p, always(errBroken)); len(servers) != 1 {
			t.Errorf("without Attempts: %v", servers)
		}
		if servers, err := tries(t.Context(), p, always(errBroken), core.WithEndpoint("b:1"), core.Attempts(3)); !slices.Equal(servers, []string{"b:1", "b:1", "b:1"}) || !errors.Is(err, errBroken) {
			t.Errorf("on one server: %v, error %v", servers, err)
		}
	})
}

func TestRetryThatGoesWellIsASuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1", "c:1")
		p := f.pool(core.WithoutOutlierDetection())
		for range 100 {
			servers, err := tries(t.Context(), p, func(addr string) error {
				if addr == "a:1" {
					return errBroken
				}
				return nil
			}, core.Attempts(2))
			if err != nil || len(servers) > 2 || (servers[0] == "a:1") != (len(servers) == 2) {
				t.Fatalf("called %v, error %v", servers, err)
			}
		}
	})
}

func TestOnlyFailuresAreRetried(t *testing.T) {
	for _, c := range []balance.Outcome{balance.OutcomeOK, balance.OutcomeOverload, balance.OutcomeNeutral, balance.OutcomeCanceled} {
		synctest.Test(t, func(t *testing.T) {
			p := newFleet(t, "a:1", "b:1").pool(core.WithClassifier(func(error) balance.Outcome { return c }))
			if servers, err := tries(t.Context(), p, always(errBroken), core.Attempts(2)); len(servers) != 1 || !errors.Is(err, errBroken) {
				t.Errorf("%v: called %v, error %v", c, servers, err)
			}
		})
	}
}

func TestRetriesAreAFifthOfTheCallsAndTenASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1", "c:1")
		p := f.pool(core.WithoutOutlierDetection())
		retries := func() (n int) {
			for range 1000 {
				servers, _ := tries(t.Context(), p, always(errBroken), core.Attempts(2))
				n += len(servers) - 1
				time.Sleep(time.Millisecond)
			}
			return n
		}
		retries() // what was saved up
		n := 0
		for range 10 {
			n += retries()
		}
		// Connections that are used once each are not counted as calls.
		if n < 90 || n > 110 {
			t.Errorf("%d retries in 10 s, want 100", n)
		}
		n = 0
		for range 10 {
			for range 9 {
				for range 100 {
					if _, err := tries(t.Context(), p, always(nil)); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(100 * time.Millisecond)
			}
			for range 100 {
				servers, _ := tries(t.Context(), p, always(errBroken), core.Attempts(2))
				n += len(servers) - 1
				time.Sleep(time.Millisecond)
			}
		}
		if n < 900 { // of 1000 that are asked for; a fifth of 10,000 and 100 are allowed
			t.Errorf("%d retries of 1000 calls among 10,000", n)
		}
	})
}

func TestCallIsNotRetriedWithoutTheTimeForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1")
		p := f.pool(core.WithoutOutlierDetection())
		for range 100 {
			_ = p.Do(t.Context(), func(context.Context, *link) error {
				time.Sleep(100 * time.Millisecond)
				return nil
			})
		}
		for left, want := range map[time.Duration]int{50 * time.Millisecond: 1, 150 * time.Millisecond: 2, 0: 1, -time.Second: 1} {
			ctx := within(t, time.Second)
			n := 0
			_ = p.Do(ctx, func(context.Context, *link) error {
				if n++; n == 1 {
					time.Sleep(time.Second - left)
				}
				return errBroken
			}, core.Attempts(2))
			if n != want {
				t.Errorf("with %v left: %d calls, want %d", left, n, want)
			}
		}
	})
}

func TestRetryThatFindsNoConnectionTellsBothErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1")
		p := f.pool(core.MaxActive(1), core.WithoutOutlierDetection())
		l := get(t, p, core.WithEndpoint("b:1"))
		ctx := within(t, time.Second)
		servers, err := tries(ctx, p, always(errBroken), core.Attempts(2))
		if len(servers) != 1 || !errors.Is(err, errBroken) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("called %v, error %v", servers, err)
		}
		release(t, l)
	})
}
