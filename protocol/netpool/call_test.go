package netpool_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
	"github.com/minicaptain/multi_connection_pool/protocol/netpool"
)

func TestCallsShareAConnectionOneAfterTheOther(t *testing.T) {
	pool := newPool(t, netpool.Config{}, []string{prototest.Listen(t, echo)}, core.MaxActive(1))
	var callers sync.WaitGroup
	for i := range 8 {
		callers.Go(func() {
			for j := range 50 {
				want := fmt.Sprint(i, "-", j)
				if got, err := ask(t.Context(), pool, want); err != nil || got != want {
					t.Errorf("asked %s, got %q, %v", want, got, err)
				}
			}
		})
	}
	callers.Wait()
	if st := pool.Stats().Endpoints[0]; st.Dials != 1 {
		t.Errorf("%d dials", st.Dials)
	}
}

func TestUnixSocketsCarryCalls(t *testing.T) {
	path := filepath.Join(t.TempDir(), "line.sock")
	ln, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	prototest.Serve(t, ln, echo)
	if got, err := ask(t.Context(), newPool(t, netpool.Config{}, []string{"unix:" + path}), "hello"); err != nil || got != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
}

// firstRead is a server that reports what its first read brought, and then echoes.
func firstRead(got chan<- string) func(net.Conn) {
	return func(nc net.Conn) {
		buf := make([]byte, 4096)
		n, err := nc.Read(buf)
		if err != nil {
			return
		}
		got <- string(buf[:n])
		write(nc, string(buf[:n]))
		echo(nc)
	}
}

func TestRequestsGoOutTogetherWhenAnAnswerIsAwaited(t *testing.T) {
	got := make(chan string, 1)
	pool := newPool(t, netpool.Config{}, []string{prototest.Listen(t, firstRead(got))})
	if err := netpool.Do(t.Context(), pool, func(c *netpool.Conn) error {
		fmt.Fprint(c, "a\n")
		fmt.Fprint(c, "b\n")
		for range 2 {
			if _, err := c.ReadString('\n'); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if s := <-got; s != "a\nb\n" {
		t.Errorf("the first packet was %q", s)
	}
}

func TestWhatACallLeavesInTheBufferIsSent(t *testing.T) {
	got := make(chan string, 1)
	pool := newPool(t, netpool.Config{}, []string{prototest.Listen(t, firstRead(got))})
	if err := netpool.Do(t.Context(), pool, func(c *netpool.Conn) error {
		_, err := c.WriteString("no answer, please\n")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if s := <-got; s != "no answer, please\n" {
		t.Errorf("sent was %q", s)
	}
}

func TestACallThatLeavesBytesUnreadHasFailedAndIsTheLastOfItsConnection(t *testing.T) {
	conn := dialed(t, netpool.Config{}, prototest.Listen(t, func(nc net.Conn) {
		readLine(nc)
		write(nc, "one\ntwo\n")
		prototest.Silent(nc)
	}))
	var answer string
	err := conn.Call(t.Context(), say("hello", &answer))
	if !errors.Is(err, netpool.ErrOutOfSync) || netpool.Classify(err) != balance.OutcomeFailure {
		t.Errorf("got %v", err)
	}
	if err := conn.Call(t.Context(), say("again", &answer)); !errors.Is(err, netpool.ErrOutOfSync) {
		t.Errorf("the next call got %v", err)
	}
	if err := conn.Peek(); !errors.Is(err, netpool.ErrOutOfSync) {
		t.Errorf("peek: %v", err)
	}
}

// No classifier can keep the connection because of what the function returned.
func TestAFunctionThatFailsWithBytesUnreadEndsTheConnectionWhateverTheClassifierSays(t *testing.T) {
	pool := newPool(t, netpool.Config{}, []string{prototest.Listen(t, func(nc net.Conn) {
		for readLine(nc) {
			write(nc, "one\ntwo\n")
		}
	})}, core.WithClassifier(func(error) balance.Outcome { return balance.OutcomeOK }))
	refused := errors.New("refused")
	for i := range 3 {
		err := netpool.Do(t.Context(), pool, func(c *netpool.Conn) error {
			var answer string
			if err := say("hello", &answer)(c); err != nil || answer != "one" {
				return fmt.Errorf("%q, %w", answer, err)
			}
			return refused
		})
		if !errors.Is(err, netpool.ErrOutOfSync) || !errors.Is(err, refused) || !strings.Contains(err.Error(), refused.Error()) ||
			netpool.Classify(err) != balance.OutcomeNeutral {
			t.Errorf("got %v", err)
		}
		if st := pool.Stats().Endpoints[0]; st.Dials != uint64(i+1) {
			t.Errorf("call %d: %d dials", i, st.Dials)
		}
	}
}

func TestARequestThatWasNotSentDoesNoHarm(t *testing.T) {
	conn := dialed(t, netpool.Config{}, prototest.Listen(t, echo))
	failed := errors.New("cannot be encoded")
	if err := conn.Call(t.Context(), func(c *netpool.Conn) error {
		fmt.Fprint(c, "half a requ")
		return failed
	}); err != failed { //nolint:errorlint // it must come as it is
		t.Errorf("got %v", err)
	}
	var answer string
	if err := conn.Call(t.Context(), say("hello", &answer)); err != nil || answer != "hello" {
		t.Errorf("the next call got %q, %v", answer, err)
	}
}

func TestARequestHalfSentEndsTheConnection(t *testing.T) {
	conn := dialed(t, netpool.Config{Buffer: 16}, prototest.Listen(t, echo))
	failed := errors.New("cannot be encoded")
	err := conn.Call(t.Context(), func(c *netpool.Conn) error {
		fmt.Fprint(c, "more than sixteen bytes")
		fmt.Fprint(c, "of a requ")
		return failed
	})
	if !errors.Is(err, netpool.ErrOutOfSync) || netpool.Classify(err) != balance.OutcomeNeutral {
		t.Errorf("got %v", err)
	}
}

func TestACallFailsWithItsConnectionWhateverItsFunctionReturns(t *testing.T) {
	pool := newPool(t, netpool.Config{}, []string{prototest.Listen(t, func(nc net.Conn) { readLine(nc) })})
	err := netpool.Do(t.Context(), pool, func(c *netpool.Conn) error {
		var answer string
		_ = say("hello", &answer)(c)
		return nil
	})
	var e *netpool.Error
	ok := errors.As(err, &e)
	if !ok || !errors.Is(err, io.EOF) || e.Endpoint == "" || e.Ctx != nil {
		t.Errorf("got %v", err)
	}
	prototest.Until(t, "the connection is closed", func() bool { return pool.Stats().Endpoints[0].Open == 0 })
}

func TestAResetDuringACallIsItsError(t *testing.T) {
	conn := dialed(t, netpool.Config{}, prototest.Listen(t, func(nc net.Conn) {
		readLine(nc)
		prototest.Reset(nc)
	}))
	var answer string
	if err := conn.Call(t.Context(), say("hello", &answer)); !errors.Is(err, syscall.ECONNRESET) || netpool.Classify(err) != balance.OutcomeFailure {
		t.Errorf("got %v", err)
	}
}

// A server that closes in the middle of an answer has not answered.
func TestAnAnswerCutShortIsAnError(t *testing.T) {
	conn := dialed(t, netpool.Config{}, prototest.Listen(t, func(nc net.Conn) {
		readLine(nc)
		write(nc, "hel")
	}))
	err := conn.Call(t.Context(), func(c *netpool.Conn) error {
		fmt.Fprint(c, "hello\n")
		_, err := io.ReadFull(c, make([]byte, 6))
		return err
	})
	if !errors.Is(err, io.EOF) || !strings.Contains(err.Error(), io.ErrUnexpectedEOF.Error()) {
		t.Errorf("got %v", err)
	}
}

func TestAPanicEndsTheConnectionAndNotThePool(t *testing.T) {
	pool := newPool(t, netpool.Config{}, []string{prototest.Listen(t, echo)}, core.MaxActive(1))
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was lost")
			}
		}()
		_ = netpool.Do(t.Context(), pool, func(*netpool.Conn) error { panic("mine") })
	}()
	if got, err := ask(t.Context(), pool, "hello"); err != nil || got != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
	if st := pool.Stats().Endpoints[0]; st.Dials != 2 {
		t.Errorf("%d dials", st.Dials)
	}
}

// The server closes each connection right behind its answer, as servers do that
// shut down, and the close has arrived before the next call.
func TestACallNeverMeetsAConnectionThatWasClosed(t *testing.T) {
	const calls = 100
	closed := make(chan struct{}, 1)
	addr := prototest.Listen(t, func(nc net.Conn) {
		if readLine(nc) {
			write(nc, "bye\n")
			_ = nc.Close()
			closed <- struct{}{}
		}
	})
	pool := newPool(t, netpool.Config{}, []string{addr}, core.ValidateAfterIdle(0))
	for i := range calls {
		if got, err := ask(t.Context(), pool, "hello"); err != nil || got != "bye" {
			t.Fatalf("call %d got %q, %v", i, got, err)
		}
		<-closed
	}
	if st := pool.Stats().Endpoints[0]; st.Dials < calls {
		t.Errorf("%d dials", st.Dials)
	}
}

func TestRetryFindsTheServerThatLives(t *testing.T) {
	var cuts atomic.Int32
	dying := prototest.Listen(t, func(nc net.Conn) {
		readLine(nc)
		cuts.Add(1)
	})
	pool := newPool(t, netpool.Config{}, []string{dying, prototest.Listen(t, echo)})
	for range 50 {
		if got, err := ask(t.Context(), pool, "hello", core.Attempts(2)); err != nil || got != "hello" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	if cuts.Load() == 0 {
		t.Error("no call met the dying server")
	}
}

func TestCallOptionsChooseTheServer(t *testing.T) {
	one, two := prototest.Listen(t, echo), prototest.Listen(t, echo)
	pool := newPool(t, netpool.Config{}, []string{one, two})
	for _, addr := range []string{one, two, one} {
		if err := netpool.Do(t.Context(), pool, func(c *netpool.Conn) error {
			if got := c.Endpoint().Addr; got != addr || c.NetConn().RemoteAddr().String() != addr {
				return fmt.Errorf("wanted %s, got %s", addr, got)
			}
			return nil
		}, core.WithEndpoint(addr)); err != nil {
			t.Error(err)
		}
	}
	if _, err := ask(context.Background(), pool, "hello", core.WithEndpoint("nowhere:1")); !errors.Is(err, core.ErrNoEndpoint) {
		t.Errorf("got %v", err)
	}
}
