package thriftpool

import (
	"context"

	"github.com/apache/thrift/lib/go/thrift"
)

// exchange sends a request and reads its reply, if result is not nil. It is what
// thrift.TStandardClient does, with two differences. A multiplexed server is called
// by the name of the service and the method, and answers with that of the method:
// Apache's TMultiplexedProtocol for that hides a THeaderProtocol, whose headers are
// not sent then. And encoded tells whether the arguments or the transport failed.
func (c *Conn) exchange(ctx context.Context, service, method string, args, result thrift.TStruct) (
	meta thrift.ResponseMeta, err error,
) {
	c.seq++
	c.encoded = false
	if err := c.send(ctx, wireName(service, method), args); err != nil || result == nil {
		return meta, err
	}
	var std thrift.TStandardClient
	c.reading.depth = 0
	err = std.Recv(ctx, &c.reading, c.seq, method, result)
	if c.header != nil {
		meta.Headers = c.header.GetReadHeaders()
	}
	return meta, err
}

func (c *Conn) send(ctx context.Context, name string, args thrift.TStruct) error {
	if c.header != nil {
		c.header.ClearWriteHeaders()
		for _, key := range thrift.GetWriteHeaderList(ctx) {
			if value, ok := thrift.GetHeader(ctx, key); ok {
				c.header.SetWriteHeader(key, value)
			}
		}
	}
	// CALL also for a oneway method, as Apache's client does in Go.
	if err := c.proto.WriteMessageBegin(ctx, name, thrift.CALL, c.seq); err != nil {
		return err
	}
	if err := args.Write(ctx, c.proto); err != nil {
		return err
	}
	c.encoded = true // a THeaderProtocol sends the message at its end
	if err := c.proto.WriteMessageEnd(ctx); err != nil {
		return err
	}
	return c.proto.Flush(ctx)
}

// wireName returns the name of a method in a message.
func wireName(service, method string) string {
	if service == "" {
		return method
	}
	return service + thrift.MULTIPLEXED_SEPARATOR + method
}
