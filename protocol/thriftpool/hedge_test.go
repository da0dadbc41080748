package thriftpool

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

// pair is two servers, the first of which to be asked for "slow" keeps it until
// the test ends.
func pair(t *testing.T) (addrs []string, asked *atomic.Int32) {
	t.Helper()
	asked = new(atomic.Int32)
	release := make(chan struct{})
	h := &handler{onEcho: func(_ context.Context, s string) (string, error) {
		if s == "slow" && asked.Add(1) == 1 {
			<-release
		}
		if s == "throw" {
			return "", &echo.EchoError{Message: s}
		}
		return s, nil
	}}
	for range 2 {
		addrs = append(addrs, serve(t, framedBinary(), h).addr())
	}
	t.Cleanup(func() { close(release) })
	return addrs, asked
}

// practise makes calls until the pool knows what is late.
func practise(t *testing.T, c *echo.EchoClient) {
	t.Helper()
	for range 300 {
		if got, err := c.Echo(t.Context(), "s"); err != nil || got != "s" {
			t.Fatalf("%q, %v", got, err)
		}
	}
	prototest.Pause(250 * time.Millisecond) // it reckons every 100
}

func TestALateCallIsMadeASecondTime(t *testing.T) {
	addrs, asked := pair(t)
	pool := newPool(t, Config{Timeout: -1}, addrs)
	c := echo.NewEchoClient(Client(pool, Hedged("echo")))
	// Another program may take the processor away for as long as it seems that
	// the servers have more to do than usual, and then nothing is hedged.
	prototest.Until(t, "a call is made twice", func() bool {
		practise(t, c)
		asked.Store(0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		got, err := c.Echo(ctx, "slow")
		if err == nil && got != "slow" {
			t.Errorf("got %q", got)
		}
		if _, ok := errors.AsType[*Error](err); err != nil && !ok {
			t.Errorf("got %#v", err)
		}
		return err == nil && asked.Load() == 2
	})
}

func TestOnlyNamedMethodsAreMadeASecondTime(t *testing.T) {
	addrs, asked := pair(t)
	pool := newPool(t, Config{Timeout: -1}, addrs)
	practise(t, echo.NewEchoClient(Client(pool, Hedged("echo"))))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := echo.NewEchoClient(Client(pool, Hedged("add"))).Echo(ctx, "slow")
	if n := asked.Load(); !errors.Is(err, context.DeadlineExceeded) || n != 1 {
		t.Errorf("error %v, asked %d times", err, n)
	}
}

func TestAHedgedCallIsAsAnyOther(t *testing.T) {
	addrs, _ := pair(t)
	pool := newPool(t, Config{}, addrs)
	c := echo.NewEchoClient(Client(pool, Hedged("*")))
	if n, err := c.Add(t.Context(), 2, 3); n != 5 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if ex, ok := errors.AsType[*echo.EchoError](errorOf(c.Echo(t.Context(), "throw"))); !ok || ex.Message != "throw" {
		t.Error("the exception is lost")
	}
	if err := c.Note(t.Context(), "oneway"); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := errorOf(c.Echo(ctx, "s"))
	if e, ok := errors.AsType[*Error](err); !ok || e.Method != "echo" || e.Outcome != balance.OutcomeCanceled || !errors.Is(err, context.Canceled) {
		t.Errorf("got %#v", err)
	}
}

func errorOf(_ string, err error) error { return err }

func TestAHedgedMethodIsIdempotent(t *testing.T) {
	a, first := dying(t)
	b, second := dying(t)
	c := echo.NewEchoClient(Client(newPool(t, Config{}, []string{a, b}), Hedged("echo")))
	if _, err := c.Echo(t.Context(), "s"); err == nil || first.Load() != 1 || second.Load() != 1 {
		t.Errorf("error %v; the servers were asked %d and %d times", err, first.Load(), second.Load())
	}
}

// Pings, which may be lost, find out whether a server that hung has recovered, and
// not calls, which must not be lost.
func TestAnEjectedServerIsPingedBeforeACallThatMustNotBeRepeated(t *testing.T) {
	recovered := make(chan struct{})
	var failing atomic.Bool
	var calls, pings atomic.Int32
	bad := serve(t, framedBinary(), &handler{onEcho: func(_ context.Context, s string) (string, error) {
		if failing.Load() {
			if s == "ping" {
				pings.Add(1)
			} else {
				calls.Add(1)
			}
			<-recovered
		}
		return s, nil
	}})
	heal := sync.OnceFunc(func() { close(recovered) })
	t.Cleanup(heal)
	addrs := []string{bad.addr(), serve(t, framedBinary(), &handler{}).addr(), serve(t, framedBinary(), &handler{}).addr()}
	pool := newPool(t, Config{Timeout: 200 * time.Millisecond, Ping: func(ctx context.Context, conn *Conn) error {
		_, err := echo.NewEchoClient(conn).Echo(ctx, "ping")
		return err
	}}, addrs)
	ejected := func() bool {
		for _, e := range pool.Stats().Endpoints {
			if e.Endpoint.Addr == bad.addr() {
				return e.Ejected
			}
		}
		return false
	}
	const callers = 2
	l := generate(t, callers, Client(pool))
	l.more(t, 1000)
	failing.Store(true)
	prototest.Until(t, "the server is ejected", ejected)
	lost, failed := calls.Load(), l.failed.Load()
	prototest.Until(t, "it is probed three times", func() bool { return pings.Load() >= 3 })
	if n, m := calls.Load(), l.failed.Load(); n > lost+callers || m > failed+callers { // those on their way
		t.Errorf("%d calls more went to the server, %d more failed", n-lost, m-failed)
	}
	failing.Store(false)
	heal()
	prototest.Until(t, "the server is back", func() bool { return !ejected() })
}
