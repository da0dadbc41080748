package main

import (
	"context"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/bench/internal/apache"
)

// private is an arm without a pool: every caller has connections of its own.
type private struct {
	closers
	clients []thrift.TClient
}

func (p *private) client(caller int) thrift.TClient { return p.clients[caller] }

// openRaw gives each caller one connection, all of them to the first server. A call cannot cost less.
func openRaw(addrs []string, callers int) (clients, error) {
	p := new(private)
	for range callers {
		c, err := dialApache(addrs[0])
		if err != nil {
			return p, err
		}
		p.closers = append(p.closers, c)
		p.clients = append(p.clients, c)
	}
	return p, nil
}

// openRotated gives each caller a connection to every server, used in rotation. It shows what it costs to spread the
// calls, without a pool.
func openRotated(addrs []string, callers int) (clients, error) {
	p := new(private)
	for caller := range callers {
		conns := make([]*apache.Conn, len(addrs))
		for i, addr := range addrs {
			c, err := dialApache(addr)
			if err != nil {
				return p, err
			}
			p.closers = append(p.closers, c)
			conns[i] = c
		}
		turn := caller // callers begin at different servers
		p.clients = append(p.clients, callFunc(
			func(ctx context.Context, method string, args, result thrift.TStruct) (thrift.ResponseMeta, error) {
				turn++
				return conns[turn%len(conns)].Call(ctx, method, args, result)
			}))
	}
	return p, nil
}
