package pooltest_test

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/core/pooltest"
)

// dial connects to the only server of a new fleet.
func dial(t *testing.T) (*pooltest.Server, *pooltest.Conn) {
	t.Helper()
	f := pooltest.NewFleet("a:1")
	c, err := f.Dial(t.Context(), core.Endpoint{Addr: "a:1"})
	if err != nil {
		t.Fatal(err)
	}
	return f.Server("a:1"), c
}

func TestServerDoesWhatItsScriptSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := pooltest.NewFleet("a:1")
		s := f.Server("a:1")
		failure := errors.New("no such user")
		for _, c := range []struct {
			name       string
			script     func()
			dial, call error
			takes      time.Duration
		}{
			{"answers", s.Recover, nil, nil, 0},
			{"fails", func() { s.Fail(failure) }, nil, failure, 0},
			{"hangs", s.Hang, context.DeadlineExceeded, context.DeadlineExceeded, time.Minute},
			{"is slow", func() { s.Slow(time.Second) }, nil, nil, time.Second},
			{"is slower than the deadline", func() { s.Slow(time.Hour) }, context.DeadlineExceeded, context.DeadlineExceeded, time.Minute},
			{"is slow by nothing", func() { s.Slow(0) }, nil, nil, 0},
		} {
			s.Recover()
			conn, err := f.Dial(t.Context(), core.Endpoint{Addr: "a:1"})
			if err != nil {
				t.Fatal(err)
			}
			c.script()
			run := func(what string, f func(context.Context) error, want error) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				began := time.Now()
				err := f(ctx)
				took := time.Since(began)
				if !errors.Is(err, want) || (what == "call" || c.name != "fails") && took != c.takes {
					t.Errorf("a server that %s: %s returns %v after %v, want %v after %v", c.name, what, err, took, want, c.takes)
				}
			}
			run("call", conn.Call, c.call)
			run("dial", func(ctx context.Context) error { _, err := f.Dial(ctx, core.Endpoint{Addr: "a:1"}); return err }, c.dial)
		}
	})
}

func TestConnectionsOfServerThatWasDownStayBroken(t *testing.T) {
	s, c := dial(t)
	s.Down()
	for _, recovered := range []bool{false, true} {
		if err := c.Call(t.Context()); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("recovered: %t; the call returns %v", recovered, err)
		}
		if err := c.Peek(); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("recovered: %t; Peek returns %v", recovered, err)
		}
		s.Recover()
	}
	_, c = dial(t)
	if err := c.Peek(); err != nil {
		t.Error(err)
	}
}

func TestCallsThatHangAreAnsweredOrBrokenByWhatComesNext(t *testing.T) {
	for name, c := range map[string]struct {
		next func(*pooltest.Server)
		want error
	}{"recovers": {(*pooltest.Server).Recover, nil}, "goes down": {(*pooltest.Server).Down, syscall.ECONNRESET}} {
		synctest.Test(t, func(t *testing.T) {
			s, conn := dial(t)
			s.Hang()
			done := make(chan error)
			go func() { done <- conn.Call(t.Context()) }()
			synctest.Wait()
			c.next(s)
			if err := <-done; !errors.Is(err, c.want) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

func TestServersCountDialsCallsAndOpenConnections(t *testing.T) {
	s, c := dial(t)
	_ = c.Call(t.Context())
	if s.Dials() != 1 || s.Calls() != 1 || s.Open() != 1 || c.Addr() != "a:1" {
		t.Errorf("%d dials, %d calls, %d open", s.Dials(), s.Calls(), s.Open())
	}
	_, _ = c.Close(), c.Close()
	if s.Open() != 0 {
		t.Errorf("%d open after Close", s.Open())
	}
}

func TestServersThatLeaveTheFleetAreDrained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := pooltest.NewFleet("a:1", "b:1")
		var events pooltest.Recorder
		pool, err := core.New(f, f, core.MinIdle(1), core.WithObserver(events.Observe))
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close(t.Context())
		synctest.Wait()
		if err := f.Set(core.Endpoint{Addr: "b:1"}); err != nil {
			t.Fatal(err)
		}
		if _, err := events.Wait(t.Context(), core.EventEndpointRemoved, "a:1"); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if f.Server("a:1").Open() != 0 || f.Server("b:1").Open() != 1 {
			t.Errorf("%d and %d open", f.Server("a:1").Open(), f.Server("b:1").Open())
		}
	})
}

func TestRecorderSaysWhatHappenedInstead(t *testing.T) {
	var r pooltest.Recorder
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, want := range []string{"none at all", `the last of 1 is "dialed" of "a:1"`} {
		_, err := r.Wait(ctx, core.EventEndpointDown, "a:1")
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
		r.Observe(core.Event{Kind: core.EventDialed, Endpoint: "a:1"})
	}
	if len(r.Events()) != 2 || len(r.Events(core.EventDialed)) != 2 || len(r.Events(core.EventEndpointUp)) != 0 {
		t.Errorf("events: %v", r.Events())
	}
}
