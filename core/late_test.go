package core_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// load makes a thousand calls a second for d, each of which has half a second, and
// returns how many failed.
func load(t *testing.T, d time.Duration, call func(context.Context) error) (failed int) {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Millisecond) {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			if call(ctx) != nil {
				mu.Lock()
				failed++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return failed
}

// serve is a server that answers after d, unless it hangs.
func serve(ctx context.Context, d time.Duration, hangs bool) error {
	if hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hanging returns a call that servers answer after a millisecond, but for the one whose
// address is in hung.
func hanging() (hung *atomic.Value, call func(context.Context, *link) error) {
	hung = new(atomic.Value)
	return hung, func(ctx context.Context, l *link) error {
		return serve(ctx, time.Millisecond, l.server.addr == hung.Load())
	}
}

func TestServerThatStopsAnsweringCostsNoCallThatMayBeRepeated(t *testing.T) {
	for name, call := range map[string]func(context.Context, *core.Pool[*link], func(context.Context, *link) error) error{
		"Do": func(ctx context.Context, p *core.Pool[*link], fn func(context.Context, *link) error) error {
			return p.Do(ctx, fn, core.Attempts(3))
		},
		"Call, hedged": func(ctx context.Context, p *core.Pool[*link], fn func(context.Context, *link) error) error {
			_, err := core.Call(ctx, p, func(ctx context.Context, l *link) (int, error) { return 0, fn(ctx, l) }, core.Attempts(3), core.Hedged())
			return err
		},
	} {
		for _, servers := range [][]string{{"a:1", "b:1", "c:1"}, {"a:1", "b:1"}} {
			t.Run(fmt.Sprintf("%s, %d servers", name, len(servers)), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := newFleet(t, servers...).pool(core.MaxActive(100))
					hung, answer := hanging()
					for _, addr := range []string{"", "b:1", "", "a:1", ""} {
						hung.Store(addr)
						if failed := load(t, 2*time.Second, func(ctx context.Context) error { return call(ctx, p, answer) }); failed > 0 { // probes of the hung one, too
							t.Errorf("%d of 2000 calls fail while %q hangs", failed, addr)
						}
					}
				})
			})
		}
	}
}

// The second of two servers hangs while the first is ejected still, after an outage of
// ten seconds: what is lost are the calls in flight until the first of them fail.
func TestServerThatIsNeededIsTriedAgainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFleet(t, "a:1", "b:1").pool(core.MaxActive(100))
		hung, answer := hanging()
		for _, phase := range []struct {
			hung string
			d    time.Duration
			most int // of the calls that are lost
		}{{"", 2 * time.Second, 0}, {"a:1", 10 * time.Second, 0}, {"", 2 * time.Second, 0}, {"b:1", 5 * time.Second, 300}} {
			hung.Store(phase.hung)
			if failed := load(t, phase.d, func(ctx context.Context) error { return p.Do(ctx, answer, core.Attempts(3)) }); failed > phase.most {
				t.Errorf("%d calls fail while %q hangs, want %d at most", failed, phase.hung, phase.most)
			}
		}
	})
}

func TestSlowCallsBesideFastOnesHaveTheirTime(t *testing.T) {
	takes, made := time.Duration(0), 0
	one := func(ctx context.Context, _ *link) error { made++; return serve(ctx, takes, false) }
	other := func(ctx context.Context, _ *link) error { made++; return serve(ctx, takes, false) }
	for _, c := range []struct {
		name string
		slow func(context.Context, *link) error
		opts []core.CallOption
		made int
	}{
		{"another function", other, nil, 1},
		{"another method of the same function", one, []core.CallOption{core.WithMethod("slow")}, 1},
		{"nothing tells them apart", one, nil, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newFleet(t, "a:1", "b:1", "c:1").pool()
				call := func(fn func(context.Context, *link) error, d time.Duration, opts ...core.CallOption) int {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					takes, made = d, 0
					if err := p.Do(ctx, fn, append(opts, core.Attempts(3))...); err != nil {
						t.Error(err)
					}
					return made
				}
				for range 200 {
					call(one, time.Millisecond)
				}
				want := c.made
				for range 5 {
					if n := call(c.slow, 300*time.Millisecond, c.opts...); n != want {
						t.Errorf("a call of 300ms was made %d times, want %d", n, want)
					}
					want = 1 // it is known now
				}
			})
		})
	}
}

func TestAttemptThatIsGivenUpSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFleet(t, "a:1", "b:1").pool()
		var causes []error
		call := func(hangs bool) error {
			return p.Do(t.Context(), func(ctx context.Context, _ *link) error {
				err := serve(ctx, time.Millisecond, hangs)
				if hangs {
					causes = append(causes, context.Cause(ctx))
				}
				hangs = false
				return err
			}, core.Attempts(2))
		}
		for range 200 {
			if err := call(false); err != nil {
				t.Fatal(err)
			}
		}
		if err := call(true); err != nil || len(causes) != 1 || causes[0] == nil || errors.Is(causes[0], context.DeadlineExceeded) {
			t.Errorf("error %v, causes %v; want one that says why the attempt ended", err, causes)
		}
	})
}

// TestNoAttemptIsGivenUpForWantOfAnotherServer is about calls that would be lost if an
// attempt had less than the time of its call: nobody else may be asked after it.
func TestNoAttemptIsGivenUpForWantOfAnotherServer(t *testing.T) {
	for name, down := range map[string]string{"the other is late": "", "the other is down": "b:1"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, "a:1", "b:1")
				if down != "" {
					f.server(down).dialed(refuse)
				}
				p := f.pool(core.MaxActive(100))
				attempts, slow := 0, false
				call := func() error {
					ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
					defer cancel()
					attempts = 0
					return p.Do(ctx, func(ctx context.Context, _ *link) error {
						attempts++
						switch {
						case !slow:
							return serve(ctx, time.Millisecond, false)
						case down == "" && attempts == 1:
							return serve(ctx, 0, true)
						default:
							return serve(ctx, 300*time.Millisecond, false)
						}
					}, core.Attempts(3))
				}
				for range 500 {
					if err := call(); err != nil {
						t.Fatal(err)
					}
				}
				if down != "" && !endpointStats(t, p, down).Down {
					t.Fatalf("%s is not down", down)
				}
				slow = true
				if err := call(); err != nil {
					t.Errorf("after %d attempts: %v", attempts, err)
				}
			})
		})
	}
}
