package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/bench/internal/apache"
	"github.com/minicaptain/multi_connection_pool/bench/internal/endtoend"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

// The arms that the goals name.
const (
	raw        = "raw"
	rawRotated = "rawrr"
	poolStock  = "multipool, Apache transport"
	poolOwn    = "multipool, own transport"
)

func arms() []endtoend.Arm {
	return []endtoend.Arm{
		{Name: raw, Open: echoing(openRaw)},
		{Name: rawRotated, Open: echoing(openRotated)},
		{Name: "raw, own transport", Open: echoing(openRawOwn)},
		{Name: "channel pool + round robin", Open: echoing(openChannels)},
		{Name: poolStock, Open: echoing(openPoolStock)},
		{Name: poolOwn, Open: echoing(openPoolOwn)},
	}
}

// clients are what an arm calls by.
type clients interface {
	// client is called once for each caller, which uses it alone.
	client(caller int) thrift.TClient
	io.Closer
}

// echoing makes an arm whose callers send bytes and want them back.
func echoing(open func(addrs []string, callers int) (clients, error)) func([]string, endtoend.Workload) (endtoend.Way, error) {
	return func(addrs []string, load endtoend.Workload) (endtoend.Way, error) {
		c, err := open(addrs, load.Callers)
		if c == nil {
			return nil, err
		}
		return way{c, load.Payload}, err
	}
}

type way struct {
	clients
	size int
}

var errNotEchoed = errors.New("the answer is not what was sent")

func (w way) Caller(i int) func(context.Context) error {
	client, payload := echo.NewEchoClient(w.client(i)), bytes.Repeat([]byte{byte(i)}, w.size)
	return func(ctx context.Context) error {
		answer, err := client.EchoBinary(ctx, payload)
		if err == nil && !bytes.Equal(answer, payload) {
			err = errNotEchoed
		}
		return err
	}
}

// timeout bounds a call, in every arm.
const timeout = 5 * time.Second

func dialApache(addr string) (*apache.Conn, error) { return apache.Dial(addr, timeout) }

// closers closes all of its elements.
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
