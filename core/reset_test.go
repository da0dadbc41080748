package core_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// resetting is a fleet as a dialer that resets connections.
type resetting struct {
	*fleet
	resets atomic.Int32
	how    func(context.Context, *link) error
}

func (r *resetting) Reset(ctx context.Context, l *link) error {
	l.use()
	defer l.unuse()
	r.resets.Add(1)
	if r.how != nil {
		return r.how(ctx, l)
	}
	return nil
}

func newResetting(t *testing.T, how func(context.Context, *link) error, opts ...core.Option) (*resetting, *core.Pool[*link]) {
	t.Helper()
	r := &resetting{fleet: newFleet(t, "a:1"), how: how}
	return r, newPool[*link](r.fleet, r, opts...)
}

func TestAConnectionIsResetAfterEachLeaseAndBeforeTheNext(t *testing.T) {
	for name, end := range map[string]func(core.Lease[*link]) error{
		"Release": core.Lease[*link].Release,
		"End":     func(l core.Lease[*link]) error { return l.End(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, p := newResetting(t, func(ctx context.Context, _ *link) error { return sleep(ctx, 10*time.Millisecond) })
				for i := range 50 {
					l := get(t, p)
					if n := int(r.resets.Load()); n != i {
						t.Fatalf("lease %d after %d resets", i, n)
					}
					l.Conn().unuse()
					if err := end(l); err != nil {
						t.Fatal(err)
					}
					if err := end(l); !errors.Is(err, core.ErrStaleLease) {
						t.Fatalf("ended again: %v", err)
					}
				}
				// Calls waited for the reset and dialed nothing meanwhile.
				r.wantCounts(1, 0)
			})
		})
	}
}

func TestDoDoesNotWaitForTheReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p := newResetting(t, func(ctx context.Context, _ *link) error { return sleep(ctx, time.Second) })
		begun := time.Now()
		if err := p.Do(t.Context(), func(context.Context, *link) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begun); d != 0 {
			t.Errorf("Do took %v", d)
		}
	})
}

func TestAConnectionWhoseResetFailsIsClosed(t *testing.T) {
	for name, how := range map[string]func(context.Context, *link) error{
		"an error":               func(context.Context, *link) error { return io.ErrShortWrite },
		"a panic":                func(context.Context, *link) error { panic("mine") },
		"the goroutine ends":     func(context.Context, *link) error { runtime.Goexit(); return nil },
		"it takes too much time": func(ctx context.Context, _ *link) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, p := newResetting(t, how)
				for range 3 {
					release(t, get(t, p))
					time.Sleep(10 * time.Second)
				}
				r.wantCounts(3, 3)
			})
		})
	}
}

func TestAResetThatTakesLongKeepsNoCallWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := newResetting(t, func(ctx context.Context, _ *link) error { return sleep(ctx, 4*time.Second) })
		release(t, get(t, p))
		begun := time.Now()
		l := get(t, p)
		if d := time.Since(begun); d != 250*time.Millisecond {
			t.Errorf("waited %v", d)
		}
		release(t, l)
		time.Sleep(10 * time.Second)
		r.wantCounts(2, 0)
		if st := endpointStats(t, p, "a:1"); st.Idle != 2 || st.InUse != 0 {
			t.Errorf("%+v, want 2 idle", st)
		}
	})
}

func TestWhatEndsDuringAResetIsClosed(t *testing.T) {
	for name, end := range map[string]func(*resetting, *core.Pool[*link]){
		"the endpoint leaves": func(r *resetting, _ *core.Pool[*link]) { r.report("b:1") },
		"Pool.Reset":          func(_ *resetting, p *core.Pool[*link]) { p.Reset() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, p := newResetting(t, func(ctx context.Context, _ *link) error { return sleep(ctx, time.Second) },
					core.RemovalGrace(0))
				release(t, get(t, p))
				end(r, p)
				time.Sleep(2 * time.Second)
				r.wantCounts(1, 1)
			})
		})
	}
}

func TestMaxIdleHoldsForConnectionsThatAreReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := newResetting(t, nil, core.MaxIdle(2), core.IdleTimeout(0))
		warm(t, p, 5)
		synctest.Wait()
		r.wantCounts(5, 3)
	})
}

// A dialer may say how long a connection may be idle before it is looked at.
func TestTheDialersValidateAfterIdleIsTheDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			opts []core.Option
			want int32
		}{
			{nil, 3},
			{[]core.Option{core.ValidateAfterIdle(time.Second)}, 0},
		} {
			f := newFleet(t, "a:1")
			p := newPool(f, eager{f}, c.opts...)
			for range 4 {
				release(t, get(t, p))
			}
			if n := f.conns()[0].checks.Load(); n < c.want || c.want == 0 && n != 0 {
				t.Errorf("%d checks for 4 leases, want %d", n, c.want)
			}
		}
	})
}

// eager is a dialer whose connections are looked at before each lease.
type eager struct{ f *fleet }

func (d eager) Dial(ctx context.Context, e core.Endpoint) (peekLink, error) {
	l, err := d.f.Dial(ctx, e)
	return peekLink{l}, err
}

func (eager) ValidateAfterIdle() time.Duration { return 0 }
