package netpool_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
	"github.com/minicaptain/multi_connection_pool/protocol/netpool"
)

func TestTLSVerifiesTheServerOfEachEndpoint(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		server, client := prototest.TLS(t, version)
		addr := prototest.Listen(t, func(nc net.Conn) { echo(tls.Server(nc, server)) })
		path := filepath.Join(t.TempDir(), "line.sock")
		ln, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
		if err != nil {
			t.Fatal(err)
		}
		prototest.Serve(t, ln, func(nc net.Conn) { echo(tls.Server(nc, server)) })
		_, port, _ := net.SplitHostPort(addr)
		named, other := client.Clone(), client.Clone()
		named.ServerName, other.ServerName = prototest.ServerName, "other.test"
		for _, c := range []struct {
			name, addr string
			conf       *tls.Config
			want       string
		}{
			{"the host of the address is in the certificate", addr, client, ""},
			{"the host of the address is not", "localhost:" + port, client, "certificate"},
			{"the configured name is in the certificate", "localhost:" + port, named, ""},
			{"the configured name is not", addr, other, "certificate"},
			{"a unix socket with a name", "unix:" + path, named, ""},
			{"a unix socket without", "unix:" + path, client, "ServerName"},
			{"a certificate that nobody vouches for", addr, nil, "certificate"},
		} {
			t.Run(tls.VersionName(version)+" "+c.name, func(t *testing.T) {
				conf := c.conf
				if conf == nil {
					conf = &tls.Config{MinVersion: tls.VersionTLS12}
				}
				got, err := ask(t.Context(), newPool(t, netpool.Config{TLS: conf}, []string{c.addr}), "hello")
				switch {
				case c.want == "" && (err != nil || got != "hello"):
					t.Errorf("got %q, %v", got, err)
				case c.want != "" && (!errors.Is(err, core.ErrUnavailable) || !strings.Contains(err.Error(), c.want)):
					t.Errorf("got %q, %v", got, err)
				}
			})
		}
	}
}

func TestSetupComesBeforeTheFirstCall(t *testing.T) {
	var logins atomic.Int32
	addr := prototest.Listen(t, func(nc net.Conn) {
		if readLine(nc) { // the login
			logins.Add(1)
			write(nc, "welcome\n")
			echo(nc)
		}
	})
	conf := netpool.Config{Setup: func(c *netpool.Conn) error {
		var answer string
		if err := say("I am me", &answer)(c); err != nil || answer != "welcome" {
			return fmt.Errorf("login: %q, %w", answer, err)
		}
		return nil
	}}
	pool := newPool(t, conf, []string{addr}, core.MaxActive(1))
	for range 3 {
		if got, err := ask(t.Context(), pool, "hello"); err != nil || got != "hello" {
			t.Errorf("got %q, %v", got, err)
		}
	}
	if logins.Load() != 1 {
		t.Errorf("%d logins", logins.Load())
	}
}

func TestASetupThatFailsIsADialThatFails(t *testing.T) {
	refused := errors.New("wrong password")
	over := make(chan struct{})
	addr := prototest.Listen(t, func(nc net.Conn) {
		prototest.Silent(nc)
		close(over)
	})
	_, err := netpool.Dial(netpool.Config{Setup: func(*netpool.Conn) error { return refused }}).
		Dial(t.Context(), core.Endpoint{Addr: addr})
	if !errors.Is(err, refused) || !strings.Contains(err.Error(), addr) {
		t.Errorf("got %v", err)
	}
	<-over // the connection was closed
}

func TestTheDialsContextEndsSetup(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := netpool.Dial(netpool.Config{Setup: func(c *netpool.Conn) error {
		_, err := c.ReadString('\n')
		return err
	}}).Dial(ctx, core.Endpoint{Addr: prototest.Listen(t, prototest.Silent)})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestPingAsksThroughIdleConnections(t *testing.T) {
	pings := make(chan struct{}, 100)
	addr := prototest.Listen(t, func(nc net.Conn) {
		for readLine(nc) {
			write(nc, "pong\n")
			pings <- struct{}{}
		}
	})
	var answer string
	pool := newPool(t, netpool.Config{Ping: say("ping", &answer)}, []string{addr},
		core.MinIdle(1), core.HealthCheckInterval(10*time.Millisecond))
	for range 3 {
		select {
		case <-pings:
		case <-time.After(prototest.Patience):
			t.Fatal("no ping")
		}
	}
	if st := pool.Stats().Endpoints[0]; st.Dials != 1 {
		t.Errorf("%d dials", st.Dials)
	}
	if err := dialed(t, netpool.Config{}, addr).Health(t.Context()); err != nil {
		t.Errorf("without Ping: %v", err)
	}
}

func TestDialContextOpensTheSockets(t *testing.T) {
	var seen string
	_, err := netpool.Dial(netpool.Config{DialContext: func(_ context.Context, network, addr string) (net.Conn, error) {
		seen = network + " " + addr
		return nil, errors.New("not today")
	}}).Dial(t.Context(), core.Endpoint{Addr: "unix:/run/x.sock"})
	if seen != "unix /run/x.sock" || err == nil || !strings.Contains(err.Error(), "not today") {
		t.Errorf("dialed %q, got %v", seen, err)
	}
}

// What has no descriptor can be used, and says nothing to a look.
func TestAConnectionWithoutADescriptorCarriesCalls(t *testing.T) {
	here, there := net.Pipe()
	served := make(chan struct{})
	go func() { // ends when the pool closes here
		defer close(served)
		echo(there)
	}()
	conf := netpool.Config{DialContext: func(context.Context, string, string) (net.Conn, error) { return here, nil }}
	c := dialed(t, conf, "pipe:1")
	var answer string
	for range 2 {
		if err := c.Call(t.Context(), say("hello", &answer)); err != nil || answer != "hello" {
			t.Errorf("got %q, %v", answer, err)
		}
		if err := c.Peek(); err != nil {
			t.Error(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	<-served
}

func TestNewReportsAConfigThatMakesNoSense(t *testing.T) {
	if _, err := core.New(static.Watcher("h:1"), netpool.Dial(netpool.Config{Buffer: 3})); err == nil || !strings.Contains(err.Error(), "Buffer") {
		t.Errorf("got %v", err)
	}
}

func TestAServerWhoseNameTheProgramDidNotForeseeIsNotDialed(t *testing.T) {
	server, client := prototest.TLS(t, 0)
	var accepted atomic.Int32
	addr := prototest.Listen(t, func(nc net.Conn) {
		accepted.Add(1)
		echo(tls.Server(nc, server))
	})
	_, port, _ := net.SplitHostPort(addr)
	toServer := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	named := client.Clone()
	named.ServerName = prototest.ServerName
	for _, c := range []struct {
		name, addr string
		tls        *tls.Config
		names      []string
		refused    bool
	}{
		{"a name that matches", prototest.ServerName + ":" + port, client, []string{"other", "*.test"}, false},
		{"a name of the program for all", addr, named, []string{prototest.ServerName}, false},
		{"an address that the certificate is valid for, and no pattern", addr, client, []string{"*.test"}, true},
		{"a name that does not match", "server.evil:" + port, client, []string{"*.test"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			accepted.Store(0)
			pool := newPool(t, netpool.Config{TLS: c.tls, TLSNames: c.names, DialContext: toServer}, []string{c.addr})
			got, err := ask(t.Context(), pool, "hello")
			if !c.refused {
				if err != nil || got != "hello" {
					t.Errorf("got %q, %v", got, err)
				}
				return
			}
			if !errors.Is(err, core.ErrUnavailable) || !strings.Contains(err.Error(), "TLSNames") || accepted.Load() != 0 {
				t.Errorf("got %q, %v, and %d connections", got, err, accepted.Load())
			}
			if s := pool.Stats().Endpoints[0]; !s.Down || s.DialFailures == 0 {
				t.Errorf("the endpoint has not failed: %+v", s)
			}
		})
	}
	for _, conf := range []netpool.Config{{TLSNames: []string{"a"}}, {TLS: client, TLSNames: []string{"*"}}} {
		if _, err := core.New(static.Watcher("h:1"), netpool.Dial(conf)); err == nil || !strings.Contains(err.Error(), "TLSNames") {
			t.Errorf("a mistake in the names: %v", err)
		}
	}
}
