package netpool_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
	"github.com/minicaptain/multi_connection_pool/protocol/netpool"
)

// session is a server with a session: "set x" changes it, "get" answers with it,
// "reset" clears it, each with an answer of one line.
func session(nc net.Conn) {
	state := "clean"
	for lines := bufio.NewScanner(nc); lines.Scan(); {
		switch word, arg, _ := strings.Cut(lines.Text(), " "); word {
		case "set":
			state = arg
		case "reset":
			state = "clean"
		}
		if _, err := fmt.Fprintln(nc, state); err != nil {
			return
		}
	}
}

func TestWhatACallLeavesInItsSessionIsResetBeforeTheNext(t *testing.T) {
	reset := func(c *netpool.Conn) error {
		var state string
		if err := say("reset", &state)(c); err != nil || state != "clean" {
			return fmt.Errorf("reset: %q, %w", state, err)
		}
		return nil
	}
	for name, change := range map[string]func(context.Context, *core.Pool[*netpool.Conn]) error{
		"Do": func(ctx context.Context, p *core.Pool[*netpool.Conn]) error {
			_, err := ask(ctx, p, "set MULTI")
			return err
		},
		"an error that is an answer": func(ctx context.Context, p *core.Pool[*netpool.Conn]) error {
			refused, state := errors.New("refused"), ""
			err := netpool.Do(ctx, p, func(c *netpool.Conn) error {
				return errors.Join(say("set MULTI", &state)(c), refused)
			})
			if !errors.Is(err, refused) {
				return err
			}
			return nil
		},
		"a lease": func(ctx context.Context, p *core.Pool[*netpool.Conn]) error {
			l, err := p.Get(ctx)
			if err != nil {
				return err
			}
			var state string
			for _, line := range []string{"set a", "get"} { // one session for all calls of a lease
				err = errors.Join(err, l.Conn().Call(ctx, say(line, &state)))
			}
			if state != "a" {
				err = errors.Join(err, fmt.Errorf("within the lease the session is %q", state))
			}
			return errors.Join(err, l.Release())
		},
	} {
		t.Run(name, func(t *testing.T) {
			pool := newPool(t, netpool.Config{Reset: reset}, []string{prototest.Listen(t, session)}, core.MaxActive(1))
			for range 50 {
				if err := change(t.Context(), pool); err != nil {
					t.Fatal(err)
				}
				if got, err := ask(t.Context(), pool, "get"); err != nil || got != "clean" {
					t.Fatalf("the next call found %q, %v", got, err)
				}
			}
			if st := pool.Stats().Endpoints[0]; st.Dials != 1 {
				t.Errorf("%d dials", st.Dials)
			}
		})
	}
}

func TestAConnectionThatCannotBeResetServesNoOtherCall(t *testing.T) {
	reset := func(*netpool.Conn) error { return errors.New("it has open cursors") }
	pool := newPool(t, netpool.Config{Reset: reset}, []string{prototest.Listen(t, session)}, core.MaxActive(1))
	for range 5 {
		if got, err := ask(t.Context(), pool, "get"); err != nil || got != "clean" {
			t.Fatalf("found %q, %v", got, err)
		}
		if _, err := ask(t.Context(), pool, "set MULTI"); err != nil {
			t.Fatal(err)
		}
	}
}

// reach is a deadline in the past and one that a call does not reach.
func reach(c *netpool.Conn, d time.Duration) map[string]func() error {
	at := time.Now().Add(d)
	return map[string]func() error{
		"SetDeadline":      func() error { return c.NetConn().SetDeadline(at) },
		"SetReadDeadline":  func() error { return c.NetConn().SetReadDeadline(at) },
		"SetWriteDeadline": func() error { return c.NetConn().SetWriteDeadline(at) },
	}
}

func TestADeadlineThatAFunctionSetsEndsWithItsCall(t *testing.T) {
	addr := prototest.Listen(t, echo)
	for _, which := range []string{"SetDeadline", "SetReadDeadline", "SetWriteDeadline"} {
		for _, how := range []string{"Do", "a lease without calls"} {
			t.Run(which+" "+how, func(t *testing.T) {
				pool := newPool(t, netpool.Config{Timeout: -1}, []string{addr}, core.MaxActive(1))
				set := func(c *netpool.Conn) error {
					var answer string
					if err := say("hello", &answer)(c); err != nil {
						return err
					}
					return reach(c, -time.Second)[which]()
				}
				for i := range 3 {
					var err error
					if how == "Do" {
						err = netpool.Do(t.Context(), pool, set)
					} else {
						err = pool.Do(t.Context(), func(_ context.Context, c *netpool.Conn) error { return set(c) })
					}
					if err != nil {
						t.Fatalf("round %d: %v", i, err)
					}
					if got, err := ask(context.Background(), pool, "again"); err != nil || got != "again" {
						t.Fatalf("the next call got %q, %v", got, err)
					}
				}
				if st := pool.Stats().Endpoints[0]; st.Dials != 1 {
					t.Errorf("%d dials", st.Dials)
				}
			})
		}
	}
}

// A function that sets a deadline for each of its reads cannot outlive its call.
func TestAFunctionCannotPutOffTheEndOfItsCall(t *testing.T) {
	silent := prototest.Listen(t, func(net.Conn) { <-t.Context().Done() })
	read := func(c *netpool.Conn) error {
		_, err := c.ReadString('\n')
		return err
	}
	t.Run("Config.Timeout", func(t *testing.T) {
		conn := dialed(t, netpool.Config{Timeout: 20 * time.Millisecond}, silent)
		err := conn.Call(t.Context(), func(c *netpool.Conn) error {
			if err := c.NetConn().SetReadDeadline(time.Time{}); err != nil {
				return err
			}
			return read(c)
		})
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("cancellation", func(t *testing.T) {
		conn := dialed(t, netpool.Config{Timeout: -1}, silent)
		ctx, cancel := context.WithCancel(t.Context())
		err := conn.Call(ctx, func(c *netpool.Conn) error {
			cancel()
			for range 20 { // the watchdog comes by meanwhile
				prototest.Pause(time.Millisecond)
				if err := reach(c, time.Hour)["SetReadDeadline"](); err != nil {
					return err
				}
			}
			return read(c)
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// A server that takes a connection and refuses to serve it, as Redis does beyond
// maxclients, fails the dial, if Setup asks for an answer, and no call.
func TestASetupThatAsksForAnAnswerFindsServersThatRefuseToServe(t *testing.T) {
	refusing := prototest.Listen(t, func(nc net.Conn) { write(nc, "-ERR max number of clients reached\r\n") })
	ping := func(c *netpool.Conn) error {
		var answer string
		if err := say("PING", &answer)(c); err != nil {
			return err
		}
		if answer != "PING" {
			return fmt.Errorf("the server says %q", answer)
		}
		return nil
	}
	pool := newPool(t, netpool.Config{Setup: ping}, []string{refusing, prototest.Listen(t, echo)})
	for range 50 {
		if got, err := ask(t.Context(), pool, "hello"); err != nil || got != "hello" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
}
