package main

import (
	"context"
	"io"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/bench/internal/echo"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool"
)

// arm is one way to reach the servers.
type arm struct {
	name string
	open func(addrs []string) (way, error)
}

// way is an open arm, for all callers.
type way interface {
	thrift.TClient
	io.Closer
}

const (
	idempotent    = "multipool, idempotent"
	hedged        = "multipool, hedged"
	notIdempotent = "multipool, not idempotent"
)

func arms() []arm {
	return []arm{
		{idempotent, func(addrs []string) (way, error) {
			return openPool(addrs, thriftpool.Config{Timeout: attempt}, thriftpool.Idempotent("*"))
		}},
		{hedged, func(addrs []string) (way, error) {
			return openPool(addrs, thriftpool.Config{Timeout: attempt}, thriftpool.Hedged("*"))
		}},
		{notIdempotent, func(addrs []string) (way, error) {
			return openPool(addrs, thriftpool.Config{Timeout: attempt, Ping: ping})
		}},
		{"channel pool, round robin, a retry", openChannels},
		{"random server, no retry", openRandom},
	}
}

// ping is what a server on trial is asked before a call that must not be repeated.
func ping(ctx context.Context, client thrift.TClient) error {
	_, err := echo.NewEchoClient(client).Echo(ctx, nil)
	return err
}

// attempt bounds each attempt of an arm that makes several.
const attempt = 100 * time.Millisecond

// pooled is this project's pool.
type pooled struct {
	pool *core.Pool[*thriftpool.Conn]
	thrift.TClient
}

func (p *pooled) Close() error { return p.pool.Close(context.Background()) }

func openPool(addrs []string, conf thriftpool.Config, opts ...thriftpool.Option) (way, error) {
	pool, err := core.New(static.Watcher(addrs...), thriftpool.Dial(conf))
	if err != nil {
		return nil, err
	}
	return &pooled{pool, thriftpool.Client(pool, opts...)}, pool.WaitReady(context.Background())
}
