package main

import (
	"context"
	"io"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool"
)

// apacheConfig puts Apache's framed and binary stack on the adapter's connections.
func apacheConfig() thriftpool.Config {
	return thriftpool.Config{
		Transport: thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), nil),
		Protocol:  thrift.NewTBinaryProtocolFactoryConf(nil),
	}
}

// pooled is this project's pool: one client for all callers.
type pooled struct {
	pool *core.Pool[*thriftpool.Conn]
	thrift.TClient
}

func (p *pooled) client(int) thrift.TClient { return p.TClient }
func (p *pooled) Close() error              { return p.pool.Close(context.Background()) }

func openPool(conf thriftpool.Config, addrs []string, callers int) (clients, error) {
	pool, err := core.New(static.Watcher(addrs...), thriftpool.Dial(conf), core.MaxActive(callers))
	if err != nil {
		return nil, err
	}
	return &pooled{pool, thriftpool.Client(pool)}, pool.WaitReady(context.Background())
}

func openPoolStock(addrs []string, callers int) (clients, error) {
	return openPool(apacheConfig(), addrs, callers)
}

func openPoolOwn(addrs []string, callers int) (clients, error) {
	return openPool(thriftpool.Config{}, addrs, callers)
}

// openRawOwn is openRaw with the adapter's connections.
func openRawOwn(addrs []string, callers int) (clients, error) {
	p := new(private)
	dialer := thriftpool.Dial(thriftpool.Config{})
	for range callers {
		c, err := dialer.Dial(context.Background(), core.Endpoint{Addr: addrs[0]})
		if err != nil {
			return p, err
		}
		p.closers = append(p.closers, io.Closer(c))
		p.clients = append(p.clients, c)
	}
	return p, nil
}
