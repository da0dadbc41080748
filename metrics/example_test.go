package metrics_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/core/pooltest"
	"github.com/minicaptain/multi_connection_pool/metrics"
)

// Measure makes a pool count; Stats has the numbers. Packages under observe pass them on
// to Prometheus and OpenTelemetry.
func Example() {
	fleet := pooltest.NewFleet("a:1")
	pool, err := core.New(fleet, fleet)
	if err != nil {
		log.Fatal(err)
	}
	pool.Measure()
	for range 5 {
		if err := pool.Do(context.Background(), func(ctx context.Context, c *pooltest.Conn) error { return c.Call(ctx) }); err != nil {
			log.Fatal(err)
		}
	}
	m := pool.Stats().Metrics // a metrics.Pool
	fmt.Println(m.Calls.OK, "calls", m.Dials, "dial", m.Latency.Quantile(0.99) < time.Minute)
	fmt.Println(pool.Close(context.Background()))
	// Output:
	// 5 calls 1 dial true
	// <nil>
}

// A Recorder is a histogram for a program's own durations.
func ExampleRecorder() {
	var r metrics.Recorder
	for i := range 100 {
		r.Record(time.Duration(i+1) * time.Millisecond)
	}
	var h metrics.Histogram
	r.AddTo(&h)
	median := h.Quantile(0.5)
	fmt.Println(h.Count(), h.Sum, median > 45*time.Millisecond && median < 55*time.Millisecond)
	// Output: 100 5.05s true
}
