package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/bench/internal/apache"
)

// channels is the pool people write by hand: a buffered channel of idle connections per server. It closes a connection
// that failed.
type channels struct {
	servers []channel
	turn    atomic.Uint64
}

type channel struct {
	addr string
	idle chan *apache.Conn
}

func newChannels(addrs []string) *channels {
	p := new(channels)
	for _, addr := range addrs {
		p.servers = append(p.servers, channel{addr, make(chan *apache.Conn, 64)})
	}
	return p
}

func (p *channels) Close() (err error) {
	for _, s := range p.servers {
		for len(s.idle) > 0 {
			err = errors.Join(err, (<-s.idle).Close())
		}
	}
	return err
}

// call makes one call to one server.
func (s channel) call(ctx context.Context, timeout time.Duration, method string, args, result thrift.TStruct) (thrift.ResponseMeta, error) {
	var c *apache.Conn
	select {
	case c = <-s.idle:
	default:
		var err error
		if c, err = apache.Dial(s.addr, timeout); err != nil {
			return thrift.ResponseMeta{}, err
		}
	}
	meta, err := c.Call(ctx, method, args, result)
	if err != nil {
		_ = c.Close()
		return meta, err
	}
	select {
	case s.idle <- c:
	default:
		_ = c.Close()
	}
	return meta, nil
}

// retrying calls the servers in turn, and the next one when a call fails.
type retrying struct{ *channels }

func openChannels(addrs []string) (way, error) {
	p := newChannels(addrs)
	return thriftWay{retrying{p}, p}, nil
}

func (p retrying) Call(ctx context.Context, method string, args, result thrift.TStruct) (meta thrift.ResponseMeta, err error) {
	first := p.turn.Add(1)
	for k := range uint64(2) {
		if meta, err = p.servers[(first+k)%uint64(len(p.servers))].call(ctx, deadline/2, method, args, result); err == nil {
			break
		}
	}
	return meta, err
}

// random calls a random server and returns its error, as the library does that this one succeeds.
type random struct{ *channels }

func openRandom(addrs []string) (way, error) {
	p := newChannels(addrs)
	return thriftWay{random{p}, p}, nil
}

func (p random) Call(ctx context.Context, method string, args, result thrift.TStruct) (thrift.ResponseMeta, error) {
	if len(p.servers) == 0 {
		return thrift.ResponseMeta{}, errors.New("no server")
	}
	return p.servers[rand.IntN(len(p.servers))].call(ctx, deadline, method, args, result)
}
