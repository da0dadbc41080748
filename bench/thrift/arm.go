package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
)

// arm is one way to reach the servers.
type arm struct {
	name string
	open func(addrs []string, callers int) (way, error)
}

// way is an open arm. Each caller asks once for a client and uses it alone.
type way interface {
	client(caller int) thrift.TClient
	io.Closer
}

// The arms that the goals name.
const (
	raw        = "raw"
	rawRotated = "rawrr"
	poolStock  = "multipool, Apache transport"
	poolOwn    = "multipool, own transport"
)

func arms() []arm {
	return []arm{
		{raw, openRaw},
		{rawRotated, openRotated},
		{"raw, own transport", openRawOwn},
		{"channel pool + round robin", openChannels},
		{poolStock, openPoolStock},
		{poolOwn, openPoolOwn},
	}
}

// timeout bounds a call, in every arm.
const timeout = 5 * time.Second

// apacheConn is a connection as Apache's library makes it: framed, binary, with a socket timeout.
type apacheConn struct {
	*thrift.TStandardClient
	transport thrift.TTransport
}

func dialApache(addr string) (*apacheConn, error) {
	conf := &thrift.TConfiguration{ConnectTimeout: timeout, SocketTimeout: timeout}
	framed := thrift.NewTFramedTransportConf(thrift.NewTSocketConf(addr, conf), conf)
	if err := framed.Open(); err != nil {
		return nil, err
	}
	protocol := thrift.NewTBinaryProtocolConf(framed, conf)
	return &apacheConn{thrift.NewTStandardClient(protocol, protocol), framed}, nil
}

func (c *apacheConn) Close() error { return c.transport.Close() }

// closers closes them all.
type closers []io.Closer

func (cs closers) Close() error {
	var errs []error
	for _, c := range cs {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// callFunc is a function as a thrift.TClient.
type callFunc func(ctx context.Context, method string, args, result thrift.TStruct) (thrift.ResponseMeta, error)

func (f callFunc) Call(ctx context.Context, method string, args, result thrift.TStruct) (thrift.ResponseMeta, error) {
	return f(ctx, method, args, result)
}
