package thriftpool

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

// numbered is the body of a reply with a list of which the length is told, and so
// many elements follow.
type numbered struct{ told, follow int }

func (n numbered) Write(ctx context.Context, p thrift.TProtocol) error {
	return errors.Join(
		p.WriteStructBegin(ctx, "result"), p.WriteFieldBegin(ctx, "success", thrift.STRUCT, 0),
		p.WriteStructBegin(ctx, "Message"),
		p.WriteFieldBegin(ctx, "text", thrift.STRING, 1), p.WriteString(ctx, ""), p.WriteFieldEnd(ctx),
		p.WriteFieldBegin(ctx, "numbers", thrift.LIST, 2),
		p.WriteListBegin(ctx, thrift.I64, n.told), n.elements(ctx, p), p.WriteListEnd(ctx),
		p.WriteFieldEnd(ctx), p.WriteFieldStop(ctx), p.WriteStructEnd(ctx),
		p.WriteFieldEnd(ctx), p.WriteFieldStop(ctx), p.WriteStructEnd(ctx))
}

func (n numbered) elements(ctx context.Context, p thrift.TProtocol) error {
	for range n.follow {
		if err := p.WriteI64(ctx, 7); err != nil {
			return err
		}
	}
	return nil
}

func (numbered) Read(context.Context, thrift.TProtocol) error { return nil }

func TestALengthThatTheReplyCannotHaveIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		conf Config
		body numbered
		want string // in the error; empty for none
	}{
		"a list":                     {Config{}, numbered{3, 3}, ""},
		"longer than its frame":      {Config{}, numbered{100, 3}, "remaining"},
		"of as many as are allowed":  {Config{MaxElements: 3}, numbered{3, 3}, ""},
		"of more than are allowed":   {Config{MaxElements: 3}, numbered{4, 4}, "MaxElements"},
		"as long as the frame holds": {Config{MaxElements: -1}, numbered{4, 4}, ""},
		"longer, without a bound":    {Config{MaxElements: -1}, numbered{100, 4}, "remaining"},
	} {
		t.Run(name, func(t *testing.T) {
			addr := prototest.Listen(t, func(nc net.Conn) {
				for {
					r, ok := next(nc)
					if !ok || !answer(nc, frame(reply(t, r.method, thrift.REPLY, r.seq, c.body))) {
						return
					}
				}
			})
			_, err := newClient(t, c.conf, []string{addr}).Send(t.Context(), &echo.Message{})
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// chain is a type that refers to itself, and is read as by code of a compiler
// without a limit.
type chain struct{ length, read int }

func (c *chain) Write(ctx context.Context, p thrift.TProtocol) error {
	return c.write(ctx, p, c.length)
}

func (c *chain) write(ctx context.Context, p thrift.TProtocol, left int) error {
	if left > 1 {
		if err := errors.Join(p.WriteFieldBegin(ctx, "next", thrift.STRUCT, 1), c.write(ctx, p, left-1)); err != nil {
			return err
		}
	}
	return p.WriteFieldStop(ctx)
}

func (c *chain) Read(ctx context.Context, p thrift.TProtocol) error {
	c.read++
	if _, err := p.ReadStructBegin(ctx); err != nil {
		return err
	}
	for {
		switch _, kind, _, err := p.ReadFieldBegin(ctx); {
		case err != nil:
			return err
		case kind == thrift.STOP:
			return p.ReadStructEnd(ctx)
		}
		if err := c.Read(ctx, p); err != nil {
			return err
		}
	}
}

func TestStructsThatAreNestedTooDeepAreRefused(t *testing.T) {
	for _, c := range []struct {
		length int
		refuse bool
	}{{64, false}, {65, true}, {5000, true}} {
		addr := prototest.Listen(t, func(nc net.Conn) {
			for {
				r, ok := next(nc)
				if !ok || !answer(nc, frame(reply(t, r.method, thrift.REPLY, r.seq, &chain{length: c.length}))) {
					return
				}
			}
		})
		client := Client(newPool(t, Config{}, []string{addr}))
		result := &chain{}
		begun := time.Now()
		_, err := client.Call(t.Context(), "send", &echo.EchoSendArgs{}, result)
		if (err != nil) != c.refuse || err != nil && !strings.Contains(err.Error(), "deeper than 64") {
			t.Errorf("%d deep: error %v", c.length, err)
		}
		if result.read > 66 {
			t.Errorf("%d deep: %d structs were read, in %v", c.length, result.read, time.Since(begun))
		}
	}
}
