package netpool_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
	"github.com/minicaptain/multi_connection_pool/protocol/netpool"
)

// What arrived on an idle connection before a call is seen by that call, with the
// defaults: the close of a server, and bytes that nobody asked for.
func TestACallTakesNoIdleConnectionThatIsOutOfOrder(t *testing.T) {
	const calls = 20
	for name, speak := range map[string]func(net.Conn){
		"the server closed it":       func(nc net.Conn) { _ = nc.Close() },
		"the server reset it":        prototest.Reset,
		"the server spoke unasked":   func(nc net.Conn) { write(nc, "extra\n") },
		"the server spoke and ended": func(nc net.Conn) { write(nc, "-ERR max number of clients reached\r\n"); _ = nc.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			speakNow, spoke := make(chan struct{}, calls), make(chan struct{}, calls)
			addr := prototest.Listen(t, func(nc net.Conn) {
				for readLine(nc) {
					write(nc, "answer\n")
					select {
					case <-speakNow:
						speak(nc)
						spoke <- struct{}{}
					case <-t.Context().Done():
						return
					}
				}
			})
			pool := newPool(t, netpool.Config{}, []string{addr})
			for i := range calls {
				answer, err := ask(t.Context(), pool, "question")
				if err != nil || answer != "answer" {
					t.Fatalf("call %d got %q, %v", i, answer, err)
				}
				speakNow <- struct{}{}
				<-spoke
			}
		})
	}
}

// Those who lease connections make several calls on one, and nobody looks at it
// between them but the call.
func TestACallSendsNothingOnAConnectionOnWhichBytesWait(t *testing.T) {
	speak := make(chan struct{}, 1)
	conn := dialed(t, netpool.Config{}, prototest.Listen(t, func(nc net.Conn) {
		readLine(nc)
		write(nc, "one\n")
		<-speak
		write(nc, "extra\n")
		if readLine(nc) {
			t.Error("the second request was sent")
		}
	}))
	defer func() { _ = conn.Close() }()
	var answer string
	if err := conn.Call(t.Context(), say("first", &answer)); err != nil || answer != "one" {
		t.Fatalf("got %q, %v", answer, err)
	}
	speak <- struct{}{}
	prototest.Until(t, "it has arrived", func() bool { return conn.Peek() != nil })
	err := conn.Call(t.Context(), say("second", &answer))
	if !errors.Is(err, netpool.ErrOutOfSync) || answer == "extra" {
		t.Errorf("got %q, %v", answer, err)
	}
}

// However a function ends that sent something and read nothing, no other call
// reads the answer.
func TestACallNeverReadsTheAnswerToAnother(t *testing.T) {
	failed := errors.New("changed my mind")
	ok := core.WithClassifier(func(error) balance.Outcome { return balance.OutcomeOK })
	forget := func(end error, flush bool) func(*netpool.Conn) error {
		return func(c *netpool.Conn) error {
			fmt.Fprint(c, "A\n")
			if flush {
				if err := c.Flush(); err != nil {
					return err
				}
			}
			return end
		}
	}
	call := func(fn func(*netpool.Conn) error) func(context.Context, *core.Pool[*netpool.Conn]) error {
		return func(ctx context.Context, p *core.Pool[*netpool.Conn]) error { return netpool.Do(ctx, p, fn) }
	}
	bare := func(fn func(*netpool.Conn) error) func(context.Context, *core.Pool[*netpool.Conn]) error {
		return func(ctx context.Context, p *core.Pool[*netpool.Conn]) error {
			return p.Do(ctx, func(_ context.Context, c *netpool.Conn) error { return fn(c) })
		}
	}
	lease := func(ctx context.Context, p *core.Pool[*netpool.Conn]) error {
		l, err := p.Get(ctx)
		if err != nil {
			return err
		}
		if err := forget(nil, true)(l.Conn()); err != nil {
			return err
		}
		return l.Release()
	}
	for name, first := range map[string]func(context.Context, *core.Pool[*netpool.Conn]) error{
		"an error":                    call(forget(failed, true)),
		"an error marked as answered": call(forget(core.Answered(failed), true)),
		"nil":                         call(forget(nil, true)),
		"nil, unflushed":              call(forget(nil, false)),
		"the pool's Do and an error":  bare(forget(failed, true)),
		"the pool's Do and nil":       bare(forget(nil, true)),
		"a lease":                     lease,
	} {
		t.Run(name, func(t *testing.T) {
			pool := newPool(t, netpool.Config{}, []string{prototest.Listen(t, echo)}, ok, core.MaxActive(1))
			wrong := 0
			for range 50 {
				if err := first(t.Context(), pool); err != nil && !errors.Is(err, failed) {
					t.Fatal(err)
				}
				if got, err := ask(t.Context(), pool, "B"); err != nil || got != "B" {
					wrong++
				}
			}
			if wrong > 0 {
				t.Errorf("%d of 50 calls did not get their own answer", wrong)
			}
		})
	}
}

func TestAProtocolWithRequestsWithoutAnswersKeepsItsConnections(t *testing.T) {
	got := make(chan string, 50)
	pool := newPool(t, netpool.Config{OneWay: true}, []string{prototest.Listen(t, func(nc net.Conn) {
		for lines := bufio.NewScanner(nc); lines.Scan(); {
			got <- lines.Text()
		}
	})})
	for range 50 {
		if err := netpool.Do(t.Context(), pool, func(c *netpool.Conn) error {
			_, err := io.WriteString(c, "count:1|c\n")
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 {
		if s := <-got; !strings.HasPrefix(s, "count") {
			t.Errorf("got %q", s)
		}
	}
	if st := pool.Stats().Endpoints[0]; st.Dials != 1 {
		t.Errorf("%d dials", st.Dials)
	}
}

// What a function wrote and took back, by its own error, leaves the connection as it was:
// also the look before the first bytes of a call that is slow to send them.
func TestACallAfterOneThatSentNothingTakesNoAnswerThatIsNotItsOwn(t *testing.T) {
	late := make(chan struct{})
	conn := dialed(t, netpool.Config{}, prototest.Listen(t, func(nc net.Conn) {
		<-late
		write(nc, "late\n")
		prototest.Silent(nc)
	}))
	own := errors.New("own")
	if err := conn.Call(t.Context(), func(c *netpool.Conn) error {
		_, _ = c.WriteString("half")
		return own
	}); !errors.Is(err, own) {
		t.Fatal(err)
	}
	var got string
	err := conn.Call(t.Context(), func(c *netpool.Conn) (err error) {
		close(late)
		prototest.Until(t, "what nobody asked for", func() bool { return c.Peek() != nil })
		time.Sleep(2 * time.Millisecond) // the function's own work
		_, _ = c.WriteString("question\n")
		got, err = c.ReadString('\n')
		return err
	})
	if !errors.Is(err, netpool.ErrOutOfSync) {
		t.Errorf("got %q, error %v", got, err)
	}
}
