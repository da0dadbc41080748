#!/usr/bin/env bash
# OpenTelemetry for Go: the instruments made from the conventions sort seconds into
# buckets meant for milliseconds.
#
# One would expect: dbconv.NewClientOperationDuration and httpconv's
# NewClientRequestDuration, which give an instrument the name, unit ("s") and description
# of the semantic conventions, give it the bucket boundaries of the conventions too. For
# db.client.operation.duration these are 0.001 to 10 s, which an instrumentation "SHOULD"
# advise.
#
# What happens: no boundaries are advised. The SDK falls back to 0, 5, 10 ... 10000,
# whatever the unit: calls of 1 ms and of 4 s are in the same bucket, and every quantile
# below 5 s is invented. Who uses these instruments has to give the boundaries, as an
# option at their creation or as a view.
#
# Versions: go.opentelemetry.io/otel 1.47.0 (semconv v1.37.0), sdk/metric 1.47.0, go1.26.8.
# Seen on 2026-11-28:
#   db.client.operation.duration (s): first boundaries 0 5 10; 1ms and 4s share a bucket
#   http.client.request.duration (s): first boundaries 0 5 10; 1ms and 4s share a bucket
#
# The script fails if that changes.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/semconv/v1.37.0/dbconv"
	"go.opentelemetry.io/otel/semconv/v1.37.0/httpconv"
)

func main() {
	reader := metric.NewManualReader()
	meter := metric.NewMeterProvider(metric.WithReader(reader)).Meter("example")
	ctx := context.Background()
	db, err := dbconv.NewClientOperationDuration(meter)
	if err != nil {
		panic(err)
	}
	http, err := httpconv.NewClientRequestDuration(meter)
	if err != nil {
		panic(err)
	}
	for _, seconds := range []float64{0.001, 4} {
		db.Record(ctx, seconds, dbconv.SystemNamePostgreSQL)
		http.Record(ctx, seconds, httpconv.RequestMethodGet, "example.com", 80)
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &all); err != nil {
		panic(err)
	}
	for _, m := range all.ScopeMetrics[0].Metrics {
		p := m.Data.(metricdata.Histogram[float64]).DataPoints[0]
		shared := "do not share"
		for _, n := range p.BucketCounts {
			if n == 2 {
				shared = "share"
			}
		}
		fmt.Printf("%s (%s): first boundaries %v %v %v; 1ms and 4s %s a bucket\n", m.Name, m.Unit, p.Bounds[0], p.Bounds[1], p.Bounds[2], shared)
	}
}
GO
go mod init example >/dev/null 2>&1
go get go.opentelemetry.io/otel@v1.47.0 go.opentelemetry.io/otel/sdk/metric@v1.47.0 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
got=$(go run . | sort)
want='db.client.operation.duration (s): first boundaries 0 5 10; 1ms and 4s share a bucket
http.client.request.duration (s): first boundaries 0 5 10; 1ms and 4s share a bucket'
printf '%s\n' "$got"
[[ $got == "$want" ]] || { echo "FAIL: it is no longer so" >&2; exit 1; }
