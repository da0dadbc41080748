package thriftpool

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"slices"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/protocoltest"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

func TestNoServerHarmsAClient(t *testing.T) {
	protocoltest.Run(t, func(t *testing.T) protocoltest.Fixture {
		t.Helper()
		return hostileFixture(t, Config{}, frame, func(r io.Reader) error {
			_, err := io.CopyN(io.Discard, r, lengthSize)
			return err
		})
	})
}

// TestNoServerHarmsAClientWithoutFrames has a stack that does not know where a reply
// ends.
func TestNoServerHarmsAClientWithoutFrames(t *testing.T) {
	conf := Config{
		Transport: thrift.NewTTransportFactory(), Protocol: thrift.NewTBinaryProtocolFactoryConf(&thrift.TConfiguration{}),
	}
	protocoltest.Run(t, func(t *testing.T) protocoltest.Fixture {
		t.Helper()
		return hostileFixture(t, conf, func(payload string) []byte { return []byte(payload) }, func(io.Reader) error { return nil })
	})
}

// hostileFixture has servers of the binary protocol. wrap makes an answer of a
// payload, and skip reads what is before one.
func hostileFixture(t *testing.T, conf Config, wrap func(string) []byte, skip func(io.Reader) error) protocoltest.Fixture {
	t.Helper()
	sized := func(size uint32, b []byte) []byte {
		if whole := wrap(string(b)); len(whole) > len(b) { // with a frame of that size
			binary.BigEndian.PutUint32(whole, size)
			return whole
		}
		return b
	}
	return protocoltest.Fixture{
		Numbered: true,
		Client: func(addrs ...string) (*protocoltest.Client, error) {
			pool, err := core.New(endpoints(addrs...), Dial(conf))
			if err != nil {
				return nil, err
			}
			c := Client(pool, Idempotent("*"))
			return &protocoltest.Client{
				Call: func(ctx context.Context, text string) (string, error) {
					return echo.NewEchoClient(c).Echo(ctx, text)
				},
				Close: pool.Close,
			}, nil
		},
		Read: func(r *bufio.Reader) (protocoltest.Request, error) {
			if err := skip(r); err != nil {
				return protocoltest.Request{}, err
			}
			ctx := context.Background()
			p := thrift.NewTBinaryProtocolConf(thrift.NewStreamTransportR(r), nil)
			method, _, seq, err := p.ReadMessageBegin(ctx)
			if err != nil {
				return protocoltest.Request{}, err
			}
			var args echo.EchoEchoArgs
			if err := args.Read(ctx, p); err != nil {
				return protocoltest.Request{}, err
			}
			return protocoltest.Request{
				Text: args.S, Answer: wrap(reply(t, method, thrift.REPLY, seq, said(args.S))),
			}, nil
		},
		Floods: []protocoltest.Flood{
			{
				Name: "a string of 2 GB",
				Begin: func(q protocoltest.Request) []byte {
					return sized(1<<30, longString(q, wrap, 1<<31-1))
				},
				Repeat: []byte("x"),
			},
			{
				Name: "a string of 15 MB, and fields that nobody knows",
				Begin: func(q protocoltest.Request) []byte {
					return sized(15<<20, longString(q, wrap, 1))
				},
				Repeat: []byte{byte(thrift.BOOL), 0, 99, 1},
			},
			{
				Name: "lists in lists",
				Begin: func(q protocoltest.Request) []byte {
					b := longString(q, wrap, 1)
					return sized(15<<20, append(b, byte(thrift.LIST), 0, 99))
				},
				Repeat: []byte{byte(thrift.LIST), 0, 0, 0, 1},
			},
		},
	}
}

// longString returns the answer to a request up to its text, of which the length is
// told, and one byte of it.
func longString(q protocoltest.Request, wrap func(string) []byte, length uint32) []byte {
	payload := q.Answer[len(wrap("")):]
	at := len(payload) - 1 - len(q.Text) // before it is the length, and behind it the end of the struct
	b := slices.Clone(payload[:at+1])
	binary.BigEndian.PutUint32(b[at-4:], length)
	return b
}
