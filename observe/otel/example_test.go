package otelobserver_test

import (
	"context"
	"fmt"
	"log"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/core/pooltest"
	otelobserver "github.com/minicaptain/multi_connection_pool/observe/otel"
)

// Each attempt of a call is a span. A program that has set OpenTelemetry's global
// providers needs no option.
func Example() {
	fleet := pooltest.NewFleet("a:1")
	pool, err := core.New(fleet, fleet)
	if err != nil {
		log.Fatal(err)
	}
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	stop, err := otelobserver.Observe("users", pool, otelobserver.DB("redis"), otelobserver.WithTracerProvider(provider))
	if err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	err = pool.Do(ctx, func(ctx context.Context, c *pooltest.Conn) error { return c.Call(ctx) }, core.WithMethod("GET"))
	fmt.Println(err, pool.Close(ctx), stop())
	for _, s := range spans.GetSpans() {
		fmt.Println(s.Name, s.SpanKind)
	}
	// Output:
	// <nil> <nil> <nil>
	// GET users client
}
