package thriftpool

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/sock"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

// dialed returns a connection to a server that does what speak does.
func dialed(t *testing.T, conf Config, speak func(net.Conn)) *Conn {
	t.Helper()
	c, err := Dial(conf).Dial(t.Context(), core.Endpoint{Addr: prototest.Listen(t, speak)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestPeekSeesWhatTheServerDid(t *testing.T) {
	for _, c := range []struct {
		name  string
		speak func(net.Conn)
		want  error
	}{
		{"it closed", func(net.Conn) {}, io.EOF},
		{"it reset", prototest.Reset, syscall.ECONNRESET},
		{"it spoke unasked", func(nc net.Conn) {
			answer(nc, []byte("hello"))
			next(nc)
		}, sock.ErrUnasked},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin := make(chan struct{})
			conn := dialed(t, Config{}, func(nc net.Conn) {
				<-begin
				c.speak(nc)
			})
			for range 3 {
				if err := conn.Peek(); err != nil {
					t.Fatalf("while the server is silent: %v", err)
				}
			}
			close(begin)
			var err error
			prototest.Until(t, c.name, func() bool { err = conn.Peek(); return err != nil })
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestPeekWorksPastADeadline(t *testing.T) {
	conn := dialed(t, Config{}, func(nc net.Conn) { next(nc) })
	if err := conn.sock.Conn.SetDeadline(past); err != nil {
		t.Fatal(err)
	}
	if err := conn.Peek(); err != nil {
		t.Error(err)
	}
}

func TestPeekCannotTellWithoutADescriptor(t *testing.T) {
	a, b := net.Pipe()
	defer func() { _ = b.Close() }()
	conf := Config{DialContext: func(context.Context, string, string) (net.Conn, error) { return a, nil }}
	conn, err := Dial(conf).Dial(t.Context(), endpoints("pipe")[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Peek(); err != nil {
		t.Error(err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}

// A server that speaks TLS 1.3 sends session tickets after the handshake,
// which nobody reads before the first reply.
func TestPeekTellsTicketsFromFarewells(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		st, conf := secure(t, version)
		conf.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		for _, c := range []struct {
			name string
			end  func(tc *tls.Conn, nc net.Conn)
			want error
		}{
			{"close_notify", func(tc *tls.Conn, _ net.Conn) { _ = tc.Close() }, io.EOF},
			{"only FIN", func(_ *tls.Conn, nc net.Conn) { _ = nc.Close() }, io.EOF},
			{"words", func(tc *tls.Conn, _ net.Conn) { answer(tc, []byte("x")) }, sock.ErrUnasked},
		} {
			t.Run(tls.VersionName(version)+" "+c.name, func(t *testing.T) {
				begin := make(chan struct{})
				ready := make(chan struct{})
				conn := dialed(t, Config{TLS: conf}, func(nc net.Conn) {
					tc := tls.Server(nc, st.tls)
					if err := tc.HandshakeContext(t.Context()); err != nil {
						t.Error(err)
					}
					close(ready)
					<-begin
					c.end(tc, nc)
					if c.want == sock.ErrUnasked { //nolint:errorlint // identity is meant
						next(nc)
					}
				})
				<-ready
				for range 10 { // tickets arrive between two of them
					if err := conn.Peek(); err != nil {
						t.Fatalf("after the handshake: %v", err)
					}
					prototest.Pause(time.Millisecond)
				}
				close(begin)
				var err error
				prototest.Until(t, c.name, func() bool { err = conn.Peek(); return err != nil })
				if !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
			})
		}
	}
}

func TestCallsGoOnAfterPeekTookTickets(t *testing.T) {
	st, conf := secure(t, tls.VersionTLS13)
	s := serve(t, st, &handler{})
	pool := newPool(t, Config{TLS: conf}, []string{s.addr()}, core.MaxActive(1))
	c := echo.NewEchoClient(Client(pool))
	for range 3 {
		if got, err := c.Echo(t.Context(), "s"); err != nil || got != "s" {
			t.Errorf("got %q, %v", got, err)
		}
		prototest.Pause(2 * time.Millisecond)
	}
	if s.accepted() != 1 {
		t.Errorf("%d connections", s.accepted())
	}
}
