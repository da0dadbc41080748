//go:build unix

package consul_test

import (
	"context"
	"errors"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/consul"
)

// cpuTime is what this process has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkOneChangeAmongTenThousand is the CPU time that a watcher and its pool use for
// one instance that comes or goes. Consul is another process, and making the change costs
// little beside. How long it takes is up to Consul and the limit of ten requests a second.
func BenchmarkOneChangeAmongTenThousand(b *testing.B) {
	const n = 10_000
	addr, p := open(b)
	if err := p.put(b.Context(), some(n)); err != nil {
		b.Fatal(err)
	}
	changed := make(chan string, n)
	pool, err := core.New(consul.Watcher([]string{addr}, p.service),
		core.DialFunc[io.Closer](func(context.Context, core.Endpoint) (io.Closer, error) { return nil, errors.New("nobody is called") }),
		core.WithObserver(func(e core.Event) {
			if e.Kind == core.EventEndpointAdded || e.Kind == core.EventEndpointRemoved {
				changed <- e.Endpoint
			}
		}))
	if err != nil {
		b.Fatal(err)
	}
	defer pool.Close(context.Background())
	for range n {
		<-changed
	}
	one := api.AgentService{ID: "one", Service: p.service, Address: "10.1.0.1", Port: 80, Weights: api.AgentWeights{Passing: 1}}
	used := time.Duration(0)
	for i := 0; b.Loop(); i++ {
		verb := []api.ServiceOp{api.ServiceSet, api.ServiceDelete}[i%2]
		before := cpuTime(b)
		if _, _, _, err := p.db.Txn().Txn(api.TxnOps{{Service: &api.ServiceTxnOp{Verb: verb, Node: p.node, Service: one}}}, nil); err != nil {
			b.Fatal(err)
		}
		<-changed
		used += cpuTime(b) - before
	}
	b.ReportMetric(float64(used.Microseconds())/1000/float64(b.N), "ms-cpu")
}
