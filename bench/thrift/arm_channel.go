package main

import (
	"context"
	"sync/atomic"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/bench/internal/apache"
)

// channels is the pool people write by hand: a buffered channel of connections per server, and the servers in turn. It
// closes a connection that failed; the next call that gets its place opens another one.
type channels struct {
	closers
	servers []channel
	turn    atomic.Uint64
}

type channel struct {
	addr string
	idle chan *apache.Conn // nil stands for a connection to be opened
}

func openChannels(addrs []string, callers int) (clients, error) {
	p := new(channels)
	for _, addr := range addrs {
		s := channel{addr, make(chan *apache.Conn, callers)}
		p.servers = append(p.servers, s)
		for range callers {
			c, err := dialApache(addr)
			if err != nil {
				return p, err
			}
			p.closers = append(p.closers, c)
			s.idle <- c
		}
	}
	return p, nil
}

func (p *channels) client(int) thrift.TClient { return p }

func (p *channels) Call(ctx context.Context, method string, args, result thrift.TStruct) (thrift.ResponseMeta, error) {
	server := p.servers[p.turn.Add(1)%uint64(len(p.servers))]
	var c *apache.Conn
	select {
	case c = <-server.idle:
	case <-ctx.Done():
		return thrift.ResponseMeta{}, ctx.Err()
	}
	if c == nil {
		var err error
		if c, err = dialApache(server.addr); err != nil {
			server.idle <- nil
			return thrift.ResponseMeta{}, err
		}
	}
	meta, err := c.Call(ctx, method, args, result)
	if err != nil {
		_ = c.Close()
		c = nil
	}
	server.idle <- c
	return meta, err
}
