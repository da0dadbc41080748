package consul_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/consul"
)

func open(b *testing.B) (string, *catalogService) {
	b.Helper()
	addr := os.Getenv("CONSUL_HTTP_ADDR")
	if addr == "" {
		b.Skip("CONSUL_HTTP_ADDR, a server of Consul as host:port, is not set")
	}
	db, err := api.NewClient(api.DefaultConfig())
	if err != nil {
		b.Fatal(err)
	}
	s := newCatalogService(b, db, addr)
	b.Cleanup(func() { _ = s.close() })
	return addr, s
}

// measure reports the median and the 99th percentile of what step returns.
func measure(b *testing.B, step func(i int) time.Duration) {
	b.Helper()
	var all []time.Duration
	for b.Loop() {
		all = append(all, step(len(all)))
	}
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "µs-p50")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "µs-p99")
}

func some(n int) []discovery.Endpoint {
	eps := make([]discovery.Endpoint, n)
	for i := range eps {
		eps[i].Addr = fmt.Sprintf("10.0.%d.%d:80", i>>8&255, i&255)
	}
	return eps
}

// BenchmarkSeen is the time from an instance being put into the catalog to its
// report, and to the return of a blocking query of Consul's own client. The
// watcher makes at most ten requests a second, so this one leaves it the time.
func BenchmarkSeen(b *testing.B) {
	const rest = 110 * time.Millisecond
	b.Run("Watcher", func(b *testing.B) {
		addr, p := open(b)
		seen := make(chan int, 1)
		ctx, cancel := context.WithCancel(b.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = consul.Watcher([]string{addr}, p.service).Watch(ctx, func(eps []discovery.Endpoint) { seen <- len(eps) })
		}()
		<-seen
		measure(b, func(i int) time.Duration {
			time.Sleep(rest)
			start := time.Now()
			if err := p.put(ctx, some(1+i%2)); err != nil {
				b.Fatal(err)
			}
			<-seen
			return time.Since(start)
		})
		cancel()
		<-ended
	})
	b.Run("RawClient", func(b *testing.B) {
		_, p := open(b)
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		returned := make(chan int, 1)
		go func() {
			index := uint64(1)
			for {
				_, meta, err := p.db.Health().Service(p.service, "", false, (&api.QueryOptions{WaitIndex: index}).WithContext(ctx))
				if err != nil {
					return
				}
				index = meta.LastIndex
				returned <- 1
			}
		}()
		<-returned
		measure(b, func(i int) time.Duration {
			time.Sleep(rest)
			start := time.Now()
			if err := p.put(ctx, some(1+i%2)); err != nil {
				b.Fatal(err)
			}
			<-returned
			return time.Since(start)
		})
	})
}

// BenchmarkTenThousandCold is the time from the beginning of a Watch, with a
// new connection, to its report, and that of a query by Consul's own client.
func BenchmarkTenThousandCold(b *testing.B) {
	addr, p := open(b)
	if err := p.put(context.Background(), some(10_000)); err != nil {
		b.Fatal(err)
	}
	b.Run("Watcher", func(b *testing.B) {
		measure(b, func(int) time.Duration {
			start, took := time.Now(), time.Duration(0)
			ctx, cancel := context.WithCancel(b.Context())
			_ = consul.Watcher([]string{addr}, p.service).Watch(ctx, func(eps []discovery.Endpoint) {
				if took = time.Since(start); len(eps) != 10_000 {
					b.Errorf("%d endpoints", len(eps))
				}
				cancel()
			})
			return took
		})
	})
	b.Run("RawClient", func(b *testing.B) {
		measure(b, func(int) time.Duration {
			start := time.Now()
			if _, _, err := p.db.Health().Service(p.service, "", false, nil); err != nil {
				b.Fatal(err)
			}
			return time.Since(start)
		})
	})
}
