package thriftpool

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

// mute is a server that reads and never answers. It counts requests.
func mute(t *testing.T) (string, *atomic.Int32) {
	t.Helper()
	var requests atomic.Int32
	return prototest.Listen(t, func(nc net.Conn) {
		for {
			if _, ok := next(nc); !ok {
				return
			}
			requests.Add(1)
		}
	}), &requests
}

// dying is a server that reads one request per connection and closes it.
func dying(t *testing.T) (string, *atomic.Int32) {
	t.Helper()
	var requests atomic.Int32
	return prototest.Listen(t, func(nc net.Conn) {
		if _, ok := next(nc); ok {
			requests.Add(1)
		}
	}), &requests
}

func TestOnlyIdempotentCallsAreSentAgainWhenInDoubt(t *testing.T) {
	addr, requests := dying(t)
	pool := newPool(t, Config{}, []string{addr})
	for _, c := range []struct {
		name string
		opts []Option
		want int32
	}{
		{"none is declared", nil, 1},
		{"another is declared", []Option{Idempotent("add", "send")}, 1},
		{"it is declared", []Option{Idempotent("add", "echo")}, 3},
		{"all are declared", []Option{Idempotent("*")}, 3},
		{"a function says so", []Option{WithIdempotent(func(m string) bool { return m == "echo" })}, 3},
		{"a function says no", []Option{WithIdempotent(func(m string) bool { return m != "echo" })}, 1},
		{"there are more attempts", []Option{Idempotent("echo"), Attempts(7)}, 7},
		{"there are no more attempts", []Option{Idempotent("echo"), Attempts(1)}, 1},
		{"the attempts are nonsense", []Option{Idempotent("echo"), Attempts(-1)}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			requests.Store(0)
			_, err := echo.NewEchoClient(Client(pool, c.opts...)).Echo(t.Context(), "s")
			if n := requests.Load(); n != c.want {
				t.Errorf("sent %d times, want %d", n, c.want)
			}
			te, ok := errors.AsType[thrift.TTransportException](err)
			if !ok || te.TypeId() != thrift.END_OF_FILE || !errors.Is(err, io.EOF) {
				t.Errorf("got %v", err)
			}
			if e, ok := errors.AsType[*Error](err); !ok || e.Attempts != int(c.want) || e.Outcome != balance.OutcomeFailure || e.Endpoint != addr {
				t.Errorf("got %#v", err)
			}
		})
	}
}

func TestARetryGoesToAnotherServer(t *testing.T) {
	bad, requests := dying(t)
	good := serve(t, framedBinary(), &handler{})
	pool := newPool(t, Config{}, []string{bad, good.addr()}, core.WithBalancer(prefer(bad)), core.WithoutOutlierDetection())
	c := echo.NewEchoClient(Client(pool, Idempotent("*")))
	for i := range 50 {
		if got, err := c.Echo(t.Context(), "s"); err != nil || got != "s" {
			t.Fatalf("call %d: %q, %v", i, got, err)
		}
	}
	if n := requests.Load(); n != 50 {
		t.Errorf("the bad server was asked %d times", n)
	}
}

func TestNoServerIsAskedTwiceWhileThereAreOthers(t *testing.T) {
	a, first := dying(t)
	b, second := dying(t)
	pool := newPool(t, Config{}, []string{a, b})
	c := echo.NewEchoClient(Client(pool, Idempotent("*"), Attempts(7)))
	_, err := c.Echo(t.Context(), "s")
	if n, m := first.Load(), second.Load(); n != 1 || m != 1 {
		t.Errorf("the servers were asked %d and %d times", n, m)
	}
	if e, ok := errors.AsType[*Error](err); !ok || e.Attempts != 2 || !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
	if _, err := c.Echo(t.Context(), "s"); err == nil || first.Load()+second.Load() != 4 {
		t.Error("the next call was not made like the first")
	}
}

// A connection breaks while the only other server is down: the call is made again
// where it was.
func TestACallIsSentAgainToTheOnlyServerThatIsUp(t *testing.T) {
	const down = "127.0.0.1:1"
	addr, requests := dying(t)
	pool := newPool(t, Config{}, []string{down, addr})
	if _, err := pool.Get(t.Context(), core.WithEndpoint(down)); err == nil {
		t.Fatalf("%s is up", down)
	}
	_, err := echo.NewEchoClient(Client(pool, Idempotent("*"))).Echo(t.Context(), "s")
	if n := requests.Load(); n != DefaultAttempts {
		t.Errorf("sent %d times, want %d; %v", n, DefaultAttempts, err)
	}
}

func TestTheBudgetEndsAStormOfRetries(t *testing.T) {
	addr, requests := dying(t)
	c := newClient(t, Config{}, []string{addr}, Idempotent("*"))
	const calls = 500
	for range calls {
		_, _ = c.Echo(t.Context(), "s")
	}
	if n := requests.Load(); n < calls || n > calls+calls/5+200 {
		t.Errorf("%d requests for %d calls, all of which failed", n, calls)
	}
}

func TestATimeoutOfTheAttemptLeavesTimeForAnother(t *testing.T) {
	silent, requests := mute(t)
	good := serve(t, framedBinary(), &handler{})
	pool := newPool(t, Config{Timeout: 20 * time.Millisecond}, []string{silent, good.addr()}, core.WithBalancer(prefer(silent)), core.WithoutOutlierDetection())
	c := echo.NewEchoClient(Client(pool, Idempotent("*")))
	ctx, cancel := context.WithTimeout(t.Context(), prototest.Patience)
	defer cancel()
	for i := range 10 {
		if got, err := c.Echo(ctx, "s"); err != nil || got != "s" {
			t.Fatalf("call %d: %q, %v", i, got, err)
		}
	}
	if n := requests.Load(); n != 10 {
		t.Errorf("the silent server was asked %d times", n)
	}
}

func TestErrorsGiveTheirCauses(t *testing.T) {
	silent, _ := mute(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := ln.Addr().String()
	_ = ln.Close()

	within := func(d time.Duration) context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		t.Cleanup(cancel)
		return ctx
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name     string
		addr     string
		ctx      func() context.Context
		is       []error
		isNot    []error
		kind     int // of the TTransportException; -1 = none
		endpoint bool
		class    balance.Outcome
	}{
		{
			"no answer in the attempt's time", silent, t.Context,
			[]error{os.ErrDeadlineExceeded},
			[]error{context.DeadlineExceeded},
			thrift.TIMED_OUT, true, balance.OutcomeFailure,
		},
		{
			"no answer in the caller's time", silent, func() context.Context { return within(50 * time.Millisecond) },
			[]error{context.DeadlineExceeded},
			[]error{context.Canceled},
			thrift.TIMED_OUT, true, balance.OutcomeFailure,
		},
		{
			"canceled before", silent, func() context.Context { return done },
			[]error{context.Canceled},
			[]error{context.DeadlineExceeded},
			-1, false, balance.OutcomeCanceled,
		},
		{
			"nobody listens", dead, t.Context,
			[]error{core.ErrUnavailable, syscall.ECONNREFUSED},
			nil, thrift.NOT_OPEN, false, balance.OutcomeNeutral,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := newClient(t, Config{Timeout: 100 * time.Millisecond}, []string{c.addr}).Echo(c.ctx(), "s")
			for _, target := range c.is {
				if !errors.Is(err, target) {
					t.Errorf("%v is not %v", err, target)
				}
			}
			for _, target := range c.isNot {
				if errors.Is(err, target) {
					t.Errorf("%v is %v", err, target)
				}
			}
			te, ok := errors.AsType[thrift.TTransportException](err)
			if ok != (c.kind >= 0) || ok && te.TypeId() != c.kind {
				t.Errorf("TTransportException %v in %v", te, err)
			}
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Method != "echo" || e.Outcome != c.class || (e.Endpoint == c.addr) != c.endpoint || Classify(err) != c.class {
				t.Errorf("got %#v", e)
			}
			if c.endpoint && !strings.Contains(err.Error(), c.addr) {
				t.Errorf("%q does not name the server", err)
			}
		})
	}
}

func TestAFailureAfterARetryTellsBoth(t *testing.T) {
	h := &handler{}
	srv := serve(t, framedBinary(), h)
	h.onEcho = func(context.Context, string) (string, error) {
		srv.kill()
		return "", nil
	}
	c := newClient(t, Config{}, []string{srv.addr()}, Idempotent("*"))
	_, err := c.Echo(t.Context(), "s")
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Endpoint != srv.addr() || e.Attempts != 1 || !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}
