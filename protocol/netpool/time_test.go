package netpool_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
	"github.com/minicaptain/multi_connection_pool/protocol/netpool"
)

// blocking are calls that a silent server blocks. They tell when they begin to.
func blocking(begun chan<- struct{}) map[string]func(*netpool.Conn) error {
	tell := func() {
		select {
		case begun <- struct{}{}:
		default:
		}
	}
	return map[string]func(*netpool.Conn) error{
		"reading": func(c *netpool.Conn) error {
			fmt.Fprint(c, "hello\n")
			tell()
			_, err := c.ReadString('\n')
			return err
		},
		"writing": func(c *netpool.Conn) error {
			tell()
			for {
				if _, err := c.WriteString(strings.Repeat("x", 1<<16)); err != nil {
					return err
				}
			}
		},
	}
}

func TestCancellationEndsReadingAndWriting(t *testing.T) {
	begun := make(chan struct{}, 1)
	server, client := prototest.TLS(t, 0)
	silent := prototest.Listen(t, func(net.Conn) { <-t.Context().Done() })
	secret := prototest.Listen(t, func(nc net.Conn) {
		if err := tls13(nc, server); err != nil {
			return
		}
		<-t.Context().Done()
	})
	for name, fn := range blocking(begun) {
		for where, conf := range map[string]netpool.Config{silent: {}, secret: {TLS: client}} {
			t.Run(fmt.Sprint(name, " TLS ", conf.TLS != nil), func(t *testing.T) {
				pool := newPool(t, conf, []string{where}, core.MaxActive(1))
				late := prototest.LeastDelay(func() time.Duration {
					ctx, cancel := context.WithCancel(t.Context())
					var canceled time.Time
					var canceller sync.WaitGroup
					canceller.Go(func() {
						<-begun
						canceled = time.Now()
						cancel()
					})
					err := netpool.Do(ctx, pool, fn)
					ended := time.Now()
					canceller.Wait()
					if !errors.Is(err, context.Canceled) || netpool.Classify(err) != balance.OutcomeCanceled {
						t.Errorf("got %v", err)
					}
					return ended.Sub(canceled)
				})
				if late > prototest.Prompt {
					t.Errorf("returned %v after the cancellation", late)
				}
			})
		}
	}
}

func TestADeadlineEndsReadingAndWriting(t *testing.T) {
	const time20 = 20 * time.Millisecond
	silent := prototest.Listen(t, func(net.Conn) { <-t.Context().Done() })
	for name, fn := range blocking(nil) {
		for _, whose := range []string{"of the context", "of the Config"} {
			t.Run(name+" "+whose, func(t *testing.T) {
				conf := netpool.Config{}
				if whose == "of the Config" {
					conf.Timeout = time20
				}
				pool := newPool(t, conf, []string{silent}, core.WithBalancer(balance.LeastLatency(balance.LeastLatencyConfig{}))) // ejects nobody
				late := prototest.LeastDelay(func() time.Duration {
					ctx, begun, asked := t.Context(), time.Now(), false
					if conf.Timeout == 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, time20)
						defer cancel()
					}
					err := netpool.Do(ctx, pool, func(c *netpool.Conn) error {
						asked = true
						return fn(c)
					})
					took := time.Since(begun)
					if !asked && errors.Is(err, context.DeadlineExceeded) {
						return prototest.Patience // it took that long to get a connection: the machine is busy
					}
					if !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) != (conf.Timeout == 0) ||
						netpool.Classify(err) != balance.OutcomeFailure {
						t.Errorf("got %v", err)
					}
					if took < time20 {
						t.Errorf("gave up after %v", took)
					}
					return took - time20
				})
				if late > prototest.Prompt {
					t.Errorf("%v late", late)
				}
			})
		}
	}
}

func TestADeadlineIsUndoneAfterTheCall(t *testing.T) {
	conn := dialed(t, netpool.Config{Timeout: -1}, prototest.Listen(t, echo))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var answer string
	if err := conn.Call(ctx, say("hello", &answer)); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	prototest.Pause(5 * time.Millisecond)
	if err := conn.Peek(); err != nil {
		t.Error(err)
	}
	// Outside of a call, as those do who lease by themselves.
	fmt.Fprint(conn, "again\n")
	if s, err := conn.ReadString('\n'); err != nil || s != "again\n" {
		t.Errorf("got %q, %v", s, err)
	}
}

func TestAContextThatHasEndedCostsNoConnection(t *testing.T) {
	conn := dialed(t, netpool.Config{}, prototest.Listen(t, echo))
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	overdue, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	var answer string
	for _, ctx := range []context.Context{canceled, overdue, late{t.Context(), time.Now()}} {
		called := false
		err := conn.Call(ctx, func(*netpool.Conn) error { called = true; return nil })
		if err == nil || called || ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
			t.Errorf("got %v for %v, called: %t", err, ctx.Err(), called)
		}
	}
	if err := conn.Call(t.Context(), say("hello", &answer)); err != nil || answer != "hello" {
		t.Errorf("the call after it got %q, %v", answer, err)
	}
}

// late is a context whose deadline has passed and whose timer has not fired.
type late struct {
	context.Context
	deadline time.Time
}

func (c late) Deadline() (time.Time, bool) { return c.deadline, true }

// One connection serves calls that are canceled when they are about to end, and
// calls that nobody cancels. Were the end of the first to reach the second, it would
// fail.
func TestACancellationNeverHitsTheNextCall(t *testing.T) {
	var cancel atomic.Pointer[context.CancelFunc]
	pool := newPool(t, netpool.Config{}, []string{prototest.Listen(t, func(nc net.Conn) {
		for readLine(nc) {
			if f := cancel.Swap(nil); f != nil {
				prototest.Pause(1500 * time.Microsecond) // a round of the watchdog is near
				(*f)()
			}
			write(nc, "hello\n")
		}
	})}, core.MaxActive(1))
	hits := 0
	for i := range 300 {
		ctx, f := context.WithCancel(t.Context())
		cancel.Store(&f)
		if _, err := ask(ctx, pool, "x"); err != nil {
			hits++
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("call %d: %v", i, err)
			}
		}
		f()
		if got, err := ask(context.Background(), pool, "y"); err != nil || got != "hello" {
			t.Fatalf("call %d, not canceled: %q, %v", i, got, err)
		}
	}
	t.Logf("%d of 300 calls were ended", hits)
}

func TestClosingThePoolInTimeEndsACallInFlight(t *testing.T) {
	pool := newPool(t, netpool.Config{Timeout: -1}, []string{prototest.Listen(t, prototest.Silent)})
	begun, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() { ended <- netpool.Do(context.Background(), pool, blocking(begun)["reading"]) }() // ends with the pool
	<-begun
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := pool.Close(ctx); err == nil {
		t.Error("Close says that nothing was in use")
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// Why a context ended is in the error of the call that it ended.
func TestTheCauseOfAContextIsInTheErrorOfTheCallThatItEnded(t *testing.T) {
	mine := errors.New("the program shuts down")
	conn := func() *netpool.Conn {
		return dialed(t, netpool.Config{}, prototest.Listen(t, func(net.Conn) { <-t.Context().Done() }))
	}
	canceled, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	timedOut, stop := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, mine)
	defer stop()
	for ended, ctx := range map[error]context.Context{context.Canceled: canceled, context.DeadlineExceeded: timedOut} {
		for range 2 { // the second call begins when the context has ended
			err := conn().Call(ctx, func(c *netpool.Conn) error {
				time.AfterFunc(5*time.Millisecond, func() { cancel(mine) })
				_, err := c.ReadString('\n')
				return err
			})
			if !errors.Is(err, mine) || !errors.Is(err, ended) {
				t.Errorf("%v: got %v", ended, err)
			}
		}
	}
}
