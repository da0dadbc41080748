package netpool_test

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

func TestNoServerHarmsAClient(t *testing.T) {
	protocoltest.Run(t, func(*testing.T) protocoltest.Fixture {
		return protocoltest.Fixture{
			Client: func(addrs ...string) (*protocoltest.Client, error) {
				pool, err := core.New(static.Watcher(addrs...), netpool.Dial(netpool.Config{MaxRead: 1 << 20}))
				if err != nil {
					return nil, err
				}
				return &protocoltest.Client{
					Call: func(ctx context.Context, text string) (string, error) {
						return ask(ctx, pool, text, core.Attempts(2))
					},
					Close: pool.Close,
				}, nil
			},
			Read: func(r *bufio.Reader) (protocoltest.Request, error) {
				line, err := r.ReadString('\n')
				return protocoltest.Request{Text: strings.TrimSpace(line), Answer: []byte(line)}, err
			},
			Floods: []protocoltest.Flood{{
				Name:   "a line without an end",
				Begin:  func(q protocoltest.Request) []byte { return []byte(q.Text) },
				Repeat: []byte("x"),
			}},
		}
	})
}
