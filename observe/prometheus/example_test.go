package promobserver_test

import (
	"context"
	"fmt"
	"log"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/core/pooltest"
	promobserver "github.com/minicaptain/multi_connection_pool/observe/prometheus"
)

// One collector has the numbers of all pools of a program. promhttp serves them.
func Example() {
	fleet := pooltest.NewFleet("a:1")
	pool, err := core.New(fleet, fleet)
	if err != nil {
		log.Fatal(err)
	}
	metrics := promobserver.New()
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics)
	if err := metrics.Add("users", pool); err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	for range 3 {
		if err := pool.Do(ctx, func(ctx context.Context, c *pooltest.Conn) error { return c.Call(ctx) }); err != nil {
			log.Fatal(err)
		}
	}
	families, err := registry.Gather()
	for _, family := range families {
		if family.GetName() == "multipool_leases_total" {
			fmt.Println(family.GetName(), family.GetMetric()[0].GetCounter().GetValue())
		}
	}
	fmt.Println(err, pool.Close(ctx))
	// Output:
	// multipool_leases_total 3
	// <nil> <nil>
}
