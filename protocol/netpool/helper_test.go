package netpool_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
	"github.com/minicaptain/multi_connection_pool/protocol/netpool"
)

// TestMain fails when the tests leave a goroutine.
func TestMain(m *testing.M) { os.Exit(prototest.Run(m)) }

// newPool returns a pool that the test closes. Closing it must not take long.
func newPool(tb testing.TB, conf netpool.Config, addrs []string, opts ...core.Option) *core.Pool[*netpool.Conn] {
	tb.Helper()
	pool, err := core.New(static.Watcher(addrs...), netpool.Dial(conf), opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), prototest.Patience)
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

// tls13 is the server's side of a handshake.
func tls13(nc net.Conn, conf *tls.Config) error { return tls.Server(nc, conf).Handshake() }
