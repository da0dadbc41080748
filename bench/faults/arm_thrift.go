package main

import (
	"context"
	"io"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

func thriftArms() []arm {
	return []arm{
		{idempotent, func(addrs []string) (way, error) {
			return openThrift(addrs, thriftpool.Config{}, thriftpool.Idempotent("*"))
		}},
		{hedged, func(addrs []string) (way, error) {
			return openThrift(addrs, thriftpool.Config{}, thriftpool.Hedged("*"))
		}},
		{notIdempotent, func(addrs []string) (way, error) {
			return openThrift(addrs, thriftpool.Config{Timeout: attempt, Ping: ping})
		}},
		{"channel pool, round robin, a retry", openChannels},
		{"random server, no retry", openRandom},
	}
}

// ping probes an ejected server before a call that must not be repeated.
func ping(ctx context.Context, conn *thriftpool.Conn) error {
	_, err := echo.NewEchoClient(conn).Echo(ctx, "")
	return err
}

// thriftWay calls by a client that goroutines may share.
type thriftWay struct {
	client thrift.TClient
	io.Closer
}

func (w thriftWay) ask(ctx context.Context) (string, error) {
	return echo.NewEchoClient(w.client).Echo(ctx, "")
}

func openThrift(addrs []string, conf thriftpool.Config, opts ...thriftpool.Option) (way, error) {
	pool, err := core.New(static.Watcher(addrs...), thriftpool.Dial(conf))
	if err != nil {
		return nil, err
	}
	return thriftWay{thriftpool.Client(pool, opts...), closing(pool.Close)}, pool.WaitReady(context.Background())
}
