package protocoltest_test

import (
	"bufio"
	"context"
	"strings"
	"testing"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/protocol/netpool"
	"github.com/minicaptain/multi_connection_pool/protocol/protocoltest"
)

// An adapter has a test like this one. The adapter of this example asks in one line and
// is answered in one.
func Example() {
	_ = func(t *testing.T) { // func TestNoServerHarmsAClient(t *testing.T)
		protocoltest.Run(t, func(*testing.T) protocoltest.Fixture {
			return protocoltest.Fixture{
				Client: newClient,
				Read:   readRequest,
				Floods: []protocoltest.Flood{{
					Name:   "a line without an end",
					Begin:  func(r protocoltest.Request) []byte { return []byte(r.Text) },
					Repeat: []byte("x"),
				}},
			}
		})
	}
}

// newClient returns a client of the servers at addrs.
func newClient(addrs ...string) (*protocoltest.Client, error) {
	pool, err := core.New(static.Watcher(addrs...), netpool.Dial(netpool.Config{MaxRead: 1 << 20}))
	if err != nil {
		return nil, err
	}
	return &protocoltest.Client{
		Call: func(ctx context.Context, text string) (answer string, err error) {
			err = netpool.Do(ctx, pool, func(c *netpool.Conn) error {
				if _, err := c.Write([]byte(text + "\n")); err != nil {
					return err
				}
				answer, err = c.ReadString('\n')
				return err
			}, core.Attempts(2))
			return strings.TrimSpace(answer), err
		},
		Close: pool.Close,
	}, nil
}

// readRequest reads one request as a server does.
func readRequest(r *bufio.Reader) (protocoltest.Request, error) {
	line, err := r.ReadString('\n')
	return protocoltest.Request{Text: strings.TrimSpace(line), Answer: []byte(line)}, err
}
