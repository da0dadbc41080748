package core_test

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

// hangUp is a call whose connection the server closes.
func hangUp(t *testing.T, p *core.Pool[*link]) error {
	t.Helper()
	l, err := p.Get(t.Context())
	if err == nil {
		l.Report(balance.Report{Outcome: balance.OutcomeDialFailure})
		err = l.Discard(io.EOF)
		synctest.Wait()
	}
	return err
}

func TestAServerThatClosesEachNewConnectionBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool()
		for n := range 2 {
			if err := hangUp(t, p); err != nil {
				t.Fatalf("call %d: %v", n, err)
			}
		}
		var e *core.Error
		if err := hangUp(t, p); !errors.Is(err, core.ErrUnavailable) || !errors.As(err, &e) || e.LastDial == nil {
			t.Errorf("during the back-off: %v", err)
		}
		if s := endpointStats(t, p, "a:1"); !s.Down || s.DialFailures == 0 {
			t.Errorf("%+v", s)
		}
		// The longer it goes on, the longer are the pauses.
		begun, calls := time.Now(), 0
		for time.Since(begun) < time.Minute {
			if hangUp(t, p) == nil {
				calls++
			}
			time.Sleep(10 * time.Millisecond)
		}
		if dials, _ := f.server("a:1").seen(); calls == 0 || dials > 60 {
			t.Errorf("%d calls, %d dials in a minute", calls, dials)
		}
		// One call that goes well ends it.
		var l core.Lease[*link]
		for err := errors.New("not yet"); err != nil; time.Sleep(10 * time.Millisecond) {
			l, err = p.Get(t.Context())
		}
		l.Report(balance.Report{Outcome: balance.OutcomeOK})
		if err := l.Discard(io.EOF); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s := endpointStats(t, p, "a:1"); s.Down || s.LastDial != nil {
			t.Errorf("%+v", s)
		}
		if err := hangUp(t, p); err != nil {
			t.Errorf("after a call that went well: %v", err)
		}
	})
}

func TestAServerThatClosesNewConnectionsBacksOffThoughNobodyUsesThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		newPool(f, core.DialFunc[peekLink](func(ctx context.Context, e core.Endpoint) (peekLink, error) {
			l, err := f.Dial(ctx, e)
			if err == nil {
				l.fails(func(context.Context) error { return io.EOF })
			}
			return peekLink{l}, err
		}), core.MinIdle(1))
		time.Sleep(time.Hour)
		if dials, _ := f.server("a:1").seen(); dials > 600 {
			t.Errorf("%d dials in an hour", dials)
		}
	})
}

func TestConnectionsThatServedOrWereIdleAreNoHangUps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool()
		for range 5 {
			for range 3 { // something was sent
				if err := get(t, p).Discard(io.EOF); err != nil {
					t.Error(err)
				}
			}
			l := get(t, p) // it was idle
			time.Sleep(4 * time.Second)
			l.Report(balance.Report{Outcome: balance.OutcomeDialFailure})
			if err := l.Discard(io.EOF); err != nil {
				t.Error(err)
			}
			synctest.Wait()
		}
		if s := endpointStats(t, p, "a:1"); s.DialFailures != 0 || s.Down {
			t.Errorf("%+v", s)
		}
	})
}

// TestUnusedConnectionsThatEndTogetherAreNoHangUps is about a server that restarts:
// what is lost are connections that were opened ahead, and no call.
func TestUnusedConnectionsThatEndTogetherAreNoHangUps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		var ended atomic.Bool
		p := newPool(f, core.DialFunc[peekLink](func(ctx context.Context, e core.Endpoint) (peekLink, error) {
			l, err := f.Dial(ctx, e)
			if err == nil && !ended.Load() {
				l.fails(func(context.Context) error {
					if ended.Load() {
						return io.EOF
					}
					return nil
				})
			}
			return peekLink{l}, err
		}), core.MinIdle(4), core.ValidateAfterIdle(0), core.IdleTimeout(0))
		time.Sleep(time.Second)
		if st := endpointStats(t, p, "a:1"); st.Open != 4 {
			t.Fatalf("%d connections", st.Open)
		}
		ended.Store(true)
		for range 20 {
			release(t, get(t, p))
		}
		if st := endpointStats(t, p, "a:1"); st.Down || st.DialFailures > 0 {
			t.Errorf("%+v", st)
		}
	})
}
