package thriftpool

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

// newPool returns a pool that the test closes. Closing it must not take long.
func newPool(tb testing.TB, conf Config, addrs []string, opts ...core.Option) *core.Pool[*Conn] {
	tb.Helper()
	pool, err := core.New(endpoints(addrs...), Dial(conf), opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), prototest.Patience)
		defer cancel()
		if err := pool.Close(ctx); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return pool
}

// newClient returns a generated client over a new pool of one connection per
// server.
func newClient(tb testing.TB, conf Config, addrs []string, opts ...Option) *echo.EchoClient {
	tb.Helper()
	return echo.NewEchoClient(Client(newPool(tb, conf, addrs, core.MaxActive(1)), opts...))
}

// fixed is a watcher of servers that never change.
type fixed []core.Endpoint

func endpoints(addrs ...string) fixed {
	var f fixed
	for _, a := range addrs {
		f = append(f, core.Endpoint{Addr: a})
	}
	return f
}

func (f fixed) Watch(ctx context.Context, report func([]core.Endpoint)) error {
	report(f)
	<-ctx.Done()
	return ctx.Err()
}

// request is one request as a server sees it.
type request struct {
	method string
	kind   thrift.TMessageType
	seq    int32
}

// next reads a framed binary request; false when the connection ends.
func next(nc net.Conn) (request, bool) {
	head := make([]byte, lengthSize)
	if _, err := io.ReadFull(nc, head); err != nil {
		return request{}, false
	}
	body := make([]byte, binary.BigEndian.Uint32(head))
	if _, err := io.ReadFull(nc, body); err != nil {
		return request{}, false
	}
	n := 8 + binary.BigEndian.Uint32(body[4:])
	return request{
		method: string(body[8:n]), kind: thrift.TMessageType(body[3]),
		seq: int32(binary.BigEndian.Uint32(body[n:])),
	}, true
}

// reply returns the payload of a reply to echo.
func reply(tb testing.TB, method string, kind thrift.TMessageType, seq int32, body thrift.TStruct) string {
	tb.Helper()
	return message(tb, func(p thrift.TProtocol) {
		if err := p.WriteMessageBegin(tb.Context(), method, kind, seq); err != nil {
			tb.Error(err)
		}
		if err := body.Write(tb.Context(), p); err != nil {
			tb.Error(err)
		}
	})
}

// said is the result of echo.
func said(s string) thrift.TStruct { return &echo.EchoEchoResult{Success: &s} }

// answer writes b and reports whether the connection still takes it.
func answer(nc net.Conn, b []byte) bool {
	_, err := nc.Write(b)
	return err == nil
}

// parrot is a server that costs next to nothing: it answers each framed binary
// request for echo with its own string.
func parrot(tb testing.TB) string {
	tb.Helper()
	return prototest.Listen(tb, func(nc net.Conn) {
		const kindAt, fieldAt = 4 + 3, 4 + 4 + 4 + len("echo") + 4
		buf, have := make([]byte, 64<<10), 0
		for {
			n, err := nc.Read(buf[have:])
			if err != nil {
				return
			}
			if have += n; have < lengthSize || have < lengthSize+int(binary.BigEndian.Uint32(buf)) {
				continue
			}
			buf[kindAt] = byte(thrift.REPLY)
			buf[fieldAt+1], buf[fieldAt+2] = 0, 0 // success is field 0
			if !answer(nc, buf[:have]) {
				return
			}
			have = 0
		}
	})
}

// message returns what write writes with the binary protocol.
func message(tb testing.TB, write func(thrift.TProtocol)) string {
	tb.Helper()
	buf := thrift.NewTMemoryBuffer()
	p := thrift.NewTBinaryProtocolConf(buf, nil)
	write(p)
	if err := p.Flush(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return buf.String()
}

// deadlined is a context with time left for ever.
type deadlined struct{ context.Context }

func (deadlined) Deadline() (time.Time, bool) { return time.Now().Add(time.Hour), true }

// spyBalancer shows the reports. It chooses any endpoint.
func spyBalancer(see func(balance.Report)) balance.Balancer { return spy{see} }

type spy struct{ see func(balance.Report) }

func (s spy) Build(balance.Picker, []balance.Member) balance.Picker { return s }
func (s spy) Pick(balance.PickInfo) int                             { return 0 }
func (s spy) Report(_ int, r balance.Report)                        { s.see(r) }

// prefer is a balancer that chooses the endpoint with that address.
type prefer string

func (a prefer) Build(_ balance.Picker, members []balance.Member) balance.Picker {
	return favourite(slices.IndexFunc(members, func(m balance.Member) bool { return m.Endpoint.Addr == string(a) }))
}

type favourite int

func (i favourite) Pick(balance.PickInfo) int  { return int(i) }
func (i favourite) Report(int, balance.Report) {}
