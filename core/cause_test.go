package core_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

var errShutdown = errors.New("the program shuts down")

// endsBy are contexts that end with a cause of the caller's own, by what ends them.
func endsBy(t *testing.T) map[error]context.Context {
	t.Helper()
	canceled, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(time.Second, func() { cancel(errShutdown) })
	timedOut, stop := context.WithTimeoutCause(t.Context(), time.Second, errShutdown)
	t.Cleanup(stop)
	return map[error]context.Context{context.Canceled: canceled, context.DeadlineExceeded: timedOut}
}

// A call that ends with its context says so, and why the context ended.
func TestTheCauseOfAContextIsInTheErrorOfTheCallThatItEnded(t *testing.T) {
	get := func(ctx context.Context, p *core.Pool[*link]) error { _, err := p.Get(ctx); return err }
	for name, call := range map[string]func(context.Context, *core.Pool[*link]) error{
		"a call that waits": get,
		"a call that begins afterwards": func(ctx context.Context, p *core.Pool[*link]) error {
			<-ctx.Done()
			return get(ctx, p)
		},
		"Do": func(ctx context.Context, p *core.Pool[*link]) error {
			return p.Do(ctx, func(context.Context, *link) error { return nil }, core.Attempts(3))
		},
		"WaitReady": func(ctx context.Context, p *core.Pool[*link]) error { return p.WaitReady(ctx) },
		"a hedged call": func(ctx context.Context, p *core.Pool[*link]) error {
			_, err := core.Call(ctx, p, func(context.Context, *link) (int, error) { return 0, nil }, core.Hedged())
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, "a:1")
				p := f.pool(core.MaxActive(1))
				l := get1(t, p)
				defer l()
				for ended, ctx := range endsBy(t) {
					err := call(ctx, p)
					if !errors.Is(err, errShutdown) || !errors.Is(err, ended) {
						t.Errorf("%v: got %v", ended, err)
					}
				}
			})
		})
	}
}

func get1(t *testing.T, p *core.Pool[*link]) (end func()) {
	t.Helper()
	l := get(t, p)
	return func() { release(t, l) }
}

func TestTheCauseOfAContextIsInTheErrorOfClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for ended, ctx := range endsBy(t) {
			f := newFleet(t, "a:1")
			p := f.pool()
			l := get(t, p)
			if err := p.Close(ctx); !errors.Is(err, errShutdown) || !errors.Is(err, ended) {
				t.Errorf("%v: got %v", ended, err)
			}
			l.Conn().unuse()
			_ = l.Discard(nil)
		}
	})
}

func TestNoEndpointHasAnEmptyAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFleet(t, "a:1").pool()
		for _, opts := range [][]core.CallOption{
			{core.WithEndpoint("")},
			{core.WithEndpoint(""), core.Attempts(3)},
			{core.WithEndpoint(""), core.WithKey("k")},
			{core.WithEndpoint(""), core.WithoutEndpoint("a:1")},
		} {
			err := p.Do(t.Context(), func(_ context.Context, l *link) error {
				t.Errorf("%v: called %s", opts, l.server.addr)
				return nil
			}, opts...)
			if !errors.Is(err, core.ErrNoEndpoint) {
				t.Errorf("%v: got %v", opts, err)
			}
		}
		if _, err := core.Call(t.Context(), p, func(context.Context, *link) (int, error) { return 0, nil }, core.WithEndpoint(""), core.Hedged()); !errors.Is(err, core.ErrNoEndpoint) {
			t.Errorf("hedged: got %v", err)
		}
	})
}
