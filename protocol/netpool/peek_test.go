package netpool_test

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
	"github.com/minicaptain/multi_connection_pool/protocol/netpool"
)

func TestPeekSeesWhatTheServerDid(t *testing.T) {
	for _, c := range []struct {
		name  string
		speak func(net.Conn)
		want  string
	}{
		{"it closed", func(net.Conn) {}, io.EOF.Error()},
		{"it closed its half", func(nc net.Conn) {
			if tc, ok := nc.(*net.TCPConn); ok {
				_ = tc.CloseWrite()
			}
			prototest.Silent(nc)
		}, io.EOF.Error()},
		{"it reset", prototest.Reset, syscall.ECONNRESET.Error()},
		{"it spoke unasked", func(nc net.Conn) {
			write(nc, "hello\n")
			prototest.Silent(nc)
		}, "unasked"},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin := make(chan struct{})
			conn := dialed(t, netpool.Config{}, prototest.Listen(t, func(nc net.Conn) {
				<-begin
				c.speak(nc)
			}))
			for range 3 {
				if err := conn.Peek(); err != nil {
					t.Fatalf("while the server is silent: %v", err)
				}
			}
			close(begin)
			var err error
			prototest.Until(t, c.name, func() bool { err = conn.Peek(); return err != nil })
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// A server that speaks TLS 1.3 sends session tickets after the handshake, which
// nobody reads before the first reply.
func TestPeekTellsTicketsFromFarewells(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		server, client := prototest.TLS(t, version)
		client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		for _, c := range []struct {
			name string
			end  func(tc *tls.Conn, nc net.Conn)
			want string
		}{
			{"close_notify", func(tc *tls.Conn, _ net.Conn) { _ = tc.Close() }, io.EOF.Error()},
			{"only FIN", func(_ *tls.Conn, nc net.Conn) { _ = nc.Close() }, io.EOF.Error()},
			{"words", func(tc *tls.Conn, nc net.Conn) { write(tc, "x"); prototest.Silent(nc) }, "unasked"},
		} {
			t.Run(tls.VersionName(version)+" "+c.name, func(t *testing.T) {
				begin, ready := make(chan struct{}), make(chan struct{})
				conn := dialed(t, netpool.Config{TLS: client}, prototest.Listen(t, func(nc net.Conn) {
					tc := tls.Server(nc, server)
					if err := tc.HandshakeContext(t.Context()); err != nil {
						t.Error(err)
					}
					close(ready)
					<-begin
					c.end(tc, nc)
				}))
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
				if !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
			})
		}
	}
}

func TestThePoolDropsIdleConnectionsThatWereClosed(t *testing.T) {
	closing := make(chan struct{})
	addr := prototest.Listen(t, func(nc net.Conn) {
		readLine(nc)
		write(nc, "hello\n")
		<-closing
	})
	pool := newPool(t, netpool.Config{}, []string{addr})
	if _, err := ask(t.Context(), pool, "hello"); err != nil {
		t.Fatal(err)
	}
	close(closing)
	prototest.Until(t, "the pool has seen it", func() bool { return pool.Stats().Endpoints[0].Open == 0 })
	if got, err := ask(t.Context(), pool, "hello"); err != nil || got != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
}
