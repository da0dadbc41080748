//go:build !race

package thriftpool

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/protocol/internal/sock"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

// bare is a client of Apache's library as its tutorial makes it.
func bare(tb testing.TB, addr string) thrift.TClient {
	tb.Helper()
	conf := &thrift.TConfiguration{SocketTimeout: time.Second}
	trans := thrift.NewTFramedTransportConf(thrift.NewTSocketConf(addr, conf), conf)
	if err := trans.Open(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = trans.Close() })
	p := thrift.NewTBinaryProtocolConf(trans, conf)
	return thrift.NewTStandardClient(p, p)
}

func TestThePoolAddsNoAllocation(t *testing.T) {
	addrs := []string{parrot(t), parrot(t), parrot(t)}
	stock := Config{Transport: thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), &thrift.TConfiguration{})}
	arg := strings.Repeat("x", 100)
	background := func() (context.Context, context.CancelFunc) { return context.Background(), func() {} }
	deadline := func() (context.Context, context.CancelFunc) {
		return context.WithTimeout(context.Background(), time.Minute)
	}
	cancellable := func() (context.Context, context.CancelFunc) { return context.WithCancel(context.Background()) }
	for name, newCtx := range map[string]func() (context.Context, context.CancelFunc){
		"no context": background, "a deadline": deadline, "a cancellable context": cancellable,
	} {
		measure := func(client thrift.TClient) float64 {
			call := func() {
				ctx, cancel := newCtx()
				defer cancel()
				if _, err := echo.NewEchoClient(client).Echo(ctx, arg); err != nil {
					t.Fatal(err)
				}
			}
			for range 100 { // open the connections
				call()
			}
			return testing.AllocsPerRun(1000, call)
		}
		base := measure(bare(t, addrs[0]))
		overStock := measure(Client(newPool(t, stock, addrs)))
		ours := measure(Client(newPool(t, Config{}, addrs)))
		t.Logf("%s: bare %v, pooled over Apache's transport %v, over ours %v", name, base, overStock, ours)
		if overStock > base || ours > base-1 {
			t.Errorf("%s: the pool allocates", name)
		}
		generated := echo.NewEchoClient(bare(t, addrs[0]))
		shared := testing.AllocsPerRun(1000, func() {
			ctx, cancel := newCtx()
			defer cancel()
			if _, err := generated.Echo(ctx, arg); err != nil {
				t.Fatal(err)
			}
		})
		if base > shared+1 {
			t.Errorf("%s: a generated client per call costs %v allocations", name, base-shared)
		}
	}
}

func TestPeekAllocatesNothing(t *testing.T) {
	if !sock.Cheap {
		t.Skip("this system has no cheap way to look at a socket")
	}
	c, err := Dial(Config{}).Dial(t.Context(), endpoints(parrot(t))[0])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if n := testing.AllocsPerRun(100, func() {
		if err := c.Peek(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
