package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
)

// channels is the pool people write by hand: a buffered channel of idle connections per server. A connection that
// failed is closed.
type channels struct {
	servers []channel
	turn    atomic.Uint64
}

type channel struct {
	addr string
	idle chan *apacheConn
}

// apacheConn is a connection as Apache's library makes it: framed, binary, with a socket timeout.
type apacheConn struct {
	*thrift.TStandardClient
	transport thrift.TTransport
}

func newChannels(addrs []string) *channels {
	p := new(channels)
	for _, addr := range addrs {
		p.servers = append(p.servers, channel{addr, make(chan *apacheConn, 64)})
	}
	return p
}

func (p *channels) Close() (err error) {
	for _, s := range p.servers {
		for len(s.idle) > 0 {
			err = errors.Join(err, (<-s.idle).transport.Close())
		}
	}
	return err
}

// call makes one call to one server.
func (s channel) call(ctx context.Context, timeout time.Duration, method string, args, result thrift.TStruct) (thrift.ResponseMeta, error) {
	var c *apacheConn
	select {
	case c = <-s.idle:
	default:
		conf := &thrift.TConfiguration{ConnectTimeout: timeout, SocketTimeout: timeout}
		framed := thrift.NewTFramedTransportConf(thrift.NewTSocketConf(s.addr, conf), conf)
		if err := framed.Open(); err != nil {
			return thrift.ResponseMeta{}, err
		}
		protocol := thrift.NewTBinaryProtocolConf(framed, conf)
		c = &apacheConn{thrift.NewTStandardClient(protocol, protocol), framed}
	}
	meta, err := c.Call(ctx, method, args, result)
	if err != nil {
		_ = c.transport.Close()
		return meta, err
	}
	select {
	case s.idle <- c:
	default:
		_ = c.transport.Close()
	}
	return meta, nil
}

// retrying goes to the servers in turn, and to the next when one fails.
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

// random goes to any server and tells its error, as the library does that this one succeeds.
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
