package netpool_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/protocol/netpool"
)

// patience is how long a test waits for what should happen at once.
const patience = 10 * time.Second

// TestMain fails when the tests leave a goroutine.
func TestMain(m *testing.M) {
	code := m.Run()
	var stacks string
	for deadline := time.Now().Add(patience); code == 0; pause(time.Millisecond) {
		buf := make([]byte, 1<<20)
		stacks = string(buf[:runtime.Stack(buf, true)])
		if strings.Count(stacks, "\ngoroutine ") == 0 { // but the first, this one
			break
		}
		if time.Now().After(deadline) {
			fmt.Println("goroutines are left:\n" + stacks)
			code = 1
		}
	}
	os.Exit(code)
}

// newPool returns a pool that the test closes. Closing it must not take long.
func newPool(tb testing.TB, conf netpool.Config, addrs []string, opts ...core.Option) *core.Pool[*netpool.Conn] {
	tb.Helper()
	pool, err := core.New(static.Watcher(addrs...), netpool.Dial(conf), opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := pool.Close(ctx); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return pool
}

// dialed returns one connection to addr, which the test closes.
func dialed(tb testing.TB, conf netpool.Config, addr string) *netpool.Conn {
	tb.Helper()
	c, err := netpool.Dial(conf).Dial(tb.Context(), core.Endpoint{Addr: addr})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// say is a call: it sends a line and returns the line that comes back.
func say(line string, answer *string) func(*netpool.Conn) error {
	return func(c *netpool.Conn) error {
		fmt.Fprintf(c, "%s\n", line)
		s, err := c.ReadString('\n')
		*answer = strings.TrimSuffix(s, "\n")
		return err
	}
}

// ask is say over a pool.
func ask(ctx context.Context, pool *core.Pool[*netpool.Conn], line string, opts ...core.CallOption) (answer string, err error) {
	err = netpool.Do(ctx, pool, say(line, &answer), opts...)
	return answer, err
}

// listen runs speak for each connection to the returned address, until the test
// ends, which closes them.
func listen(tb testing.TB, speak func(nc net.Conn)) string {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	serve(tb, ln, speak)
	return ln.Addr().String()
}

func serve(tb testing.TB, ln net.Listener, speak func(nc net.Conn)) {
	tb.Helper()
	var done sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	done.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, nc)
			mu.Unlock()
			done.Go(func() {
				defer func() { _ = nc.Close() }()
				speak(nc)
			})
		}
	})
	tb.Cleanup(func() {
		_ = ln.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		done.Wait()
	})
}

// echo answers each line with itself.
func echo(nc net.Conn) {
	r := bufio.NewReader(nc)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		if _, err := nc.Write([]byte(line)); err != nil {
			return
		}
	}
}

// hush reads until the connection ends.
func hush(nc net.Conn) {
	for buf := make([]byte, 4096); ; {
		if _, err := nc.Read(buf); err != nil {
			return
		}
	}
}

// readLine reads a line and not a byte more; false when there is none.
func readLine(nc net.Conn) bool {
	for b := make([]byte, 1); ; {
		if _, err := nc.Read(b); err != nil {
			return false
		}
		if b[0] == '\n' {
			return true
		}
	}
}

func write(nc net.Conn, s string) { _, _ = nc.Write([]byte(s)) } // the client may be gone

// reset ends a connection with RST.
func reset(nc net.Conn) {
	if tc, ok := nc.(*net.TCPConn); ok {
		_ = tc.SetLinger(0)
	}
	_ = nc.Close()
}

// until waits for ok, which becomes true by what another machine would send.
func until(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(patience); !ok(); pause(100 * time.Microsecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("not in %v: %s", patience, what)
		}
	}
}

// pause lets time pass; it waits for no event.
func pause(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	<-ctx.Done()
}

// certified returns the configurations of a server whose certificate is for
// 127.0.0.1 and for "line.test", and of a client that trusts it.
func certified(tb testing.TB, version uint16) (server, client *tls.Config) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	plan := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"line.test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, plan, plan, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	trust := x509.NewCertPool()
	trust.AddCert(cert)
	server = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	client = &tls.Config{RootCAs: trust, MinVersion: tls.VersionTLS12, MaxVersion: version}
	return server, client
}

// tls13 is the server's side of a handshake.
func tls13(nc net.Conn, conf *tls.Config) error { return tls.Server(nc, conf).Handshake() }
