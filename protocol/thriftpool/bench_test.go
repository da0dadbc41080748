//go:build !race && unix

package thriftpool

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

type rr struct {
	cs []thrift.TClient
	i  int
}

func (r *rr) Call(ctx context.Context, m string, a, b thrift.TStruct) (thrift.ResponseMeta, error) {
	r.i++
	return r.cs[r.i%len(r.cs)].Call(ctx, m, a, b)
}

func BenchmarkCall(b *testing.B) {
	var addrs []string
	for range 3 {
		addrs = append(addrs, parrot(b))
	}
	pooled := func(conf Config) func() thrift.TClient {
		pool, err := core.New(endpoints(addrs...), Dial(conf), core.MaxActive(128))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = pool.Close(context.Background()) })
		c := Client(pool)
		return func() thrift.TClient { return c }
	}
	stock := Config{Transport: thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), &thrift.TConfiguration{})}
	kinds := []struct {
		name string
		make func() thrift.TClient
	}{
		{"raw", func() thrift.TClient { return bare(b, addrs[0]) }},
		{"rawrr", func() thrift.TClient {
			return &rr{cs: []thrift.TClient{bare(b, addrs[0]), bare(b, addrs[1]), bare(b, addrs[2])}}
		}},
		{"stock", pooled(stock)},
		{"ours", pooled(Config{})},
	}
	for _, load := range []struct{ callers, size int }{{1, 100}, {16, 100}, {128, 100}, {16, 4096}} {
		for _, ctxed := range []bool{false, true} {
			for _, k := range kinds {
				b.Run(fmt.Sprintf("%dx%d/ctx=%v/%s", load.callers, load.size, ctxed, k.name), func(b *testing.B) {
					clients := make([]thrift.TClient, load.callers)
					for i := range clients {
						clients[i] = k.make()
					}
					s := strings.Repeat("x", load.size)
					run := func(n int64) {
						var wg sync.WaitGroup
						var left atomic.Int64
						left.Store(n)
						for _, c := range clients {
							wg.Go(func() {
								cl := echo.NewEchoClient(c)
								for left.Add(-1) >= 0 {
									ctx, cancel := context.Background(), func() {}
									if ctxed {
										ctx, cancel = context.WithTimeout(ctx, time.Second)
									}
									_, err := cl.Echo(ctx, s)
									cancel()
									if err != nil {
										b.Error(err)
										return
									}
								}
							})
						}
						wg.Wait()
					}
					run(int64(load.callers * 50))
					b.ReportAllocs()
					c0 := cpu()
					b.ResetTimer()
					run(int64(b.N))
					b.StopTimer()
					b.ReportMetric(float64(cpu()-c0)/float64(b.N), "cpu-ns/op")
				})
			}
		}
	}
}

func cpu() int64 {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return r.Utime.Nano() + r.Stime.Nano()
}
