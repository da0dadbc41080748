package etcd_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/etcd"
)

func open(b *testing.B) ([]string, *clientv3.Client, string) {
	b.Helper()
	if os.Getenv("ETCD_ENDPOINTS") == "" {
		b.Skip("ETCD_ENDPOINTS, the servers of an etcd as host:port,host:port, is not set")
	}
	all := strings.Split(os.Getenv("ETCD_ENDPOINTS"), ",")
	db, err := clientv3.New(clientv3.Config{Endpoints: all, Logger: zap.NewNop()})
	if err != nil {
		b.Fatal(err)
	}
	prefix := newPrefix()
	b.Cleanup(func() {
		_, _ = db.Delete(context.Background(), prefix, clientv3.WithPrefix())
		_ = db.Close()
	})
	return all, db, prefix
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

// BenchmarkSeen is the time from a server's key being put to its report, and
// to the event of etcd's own client.
func BenchmarkSeen(b *testing.B) {
	b.Run("Watcher", func(b *testing.B) {
		all, db, prefix := open(b)
		seen := make(chan int, 1)
		ctx, cancel := context.WithCancel(b.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = etcd.Watcher(all, prefix).Watch(ctx, func(eps []discovery.Endpoint) { seen <- len(eps) })
		}()
		<-seen
		measure(b, func(i int) time.Duration {
			start := time.Now()
			if _, err := db.Put(ctx, prefix+"a", entry(fmt.Sprintf("10.0.%d.%d:80", i>>8&255, i&255))); err != nil {
				b.Fatal(err)
			}
			<-seen
			return time.Since(start)
		})
		cancel()
		<-ended
	})
	b.Run("RawClient", func(b *testing.B) {
		_, db, prefix := open(b)
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		watch := db.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCreatedNotify())
		<-watch
		measure(b, func(i int) time.Duration {
			start := time.Now()
			if _, err := db.Put(ctx, prefix+"a", entry(fmt.Sprintf("10.0.%d.%d:80", i>>8&255, i&255))); err != nil {
				b.Fatal(err)
			}
			<-watch
			return time.Since(start)
		})
	})
}

// BenchmarkTenThousandCold is the time from the beginning of a Watch, with a
// new connection, to its report, and that of a list by etcd's own client.
func BenchmarkTenThousandCold(b *testing.B) {
	all, db, prefix := open(b)
	for i := range 100 {
		var ops []clientv3.Op
		for j := range 100 {
			addr := fmt.Sprintf("10.0.%d.%d:80", i, j)
			ops = append(ops, clientv3.OpPut(prefix+addr, entry(addr)))
		}
		if _, err := db.Txn(context.Background()).Then(ops...).Commit(); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("Watcher", func(b *testing.B) {
		measure(b, func(int) time.Duration {
			start, took := time.Now(), time.Duration(0)
			ctx, cancel := context.WithCancel(b.Context())
			_ = etcd.Watcher(all, prefix).Watch(ctx, func(eps []discovery.Endpoint) {
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
			c, err := clientv3.New(clientv3.Config{Endpoints: all, Logger: zap.NewNop()})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Get(context.Background(), prefix, clientv3.WithPrefix()); err != nil {
				b.Fatal(err)
			}
			return time.Since(start)
		})
	})
}
