//go:build unix

package zk_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/discovery/zk"
)

// BenchmarkTenThousandCold is the time from the beginning of a Watch, with a new session,
// to its report of 10,000 servers whose data is in their nodes, and the CPU time that
// this process uses for it.
func BenchmarkTenThousandCold(b *testing.B) {
	list := servers(b)
	conn := admin(b, list)
	path := newRoot(b, conn)
	fill(b, conn, path, format.GRPCNaming(), many)
	used := time.Duration(0)
	for b.Loop() {
		before := cpuTime(b)
		ctx, cancel := context.WithCancel(b.Context())
		_ = zk.Watcher(list[:1], path, zk.WithFormat(format.GRPCNaming())).Watch(ctx, func(eps []discovery.Endpoint) {
			if used += cpuTime(b) - before; len(eps) != many {
				b.Errorf("%d endpoints", len(eps))
			}
			cancel()
		})
	}
	b.ReportMetric(float64(used.Microseconds())/1000/float64(b.N), "ms-cpu")
}

// cpuTime is what this process has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
