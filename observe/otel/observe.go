package otelobserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/dbconv"
	"go.opentelemetry.io/otel/trace"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/retry"
)

// boundaries are those that the conventions have for durations of operations.
//
//nolint:gochecknoglobals // a constant
var boundaries = []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10}

// scope is the name of the instrumentation.
const scope = "github.com/minicaptain/multi_connection_pool/observe/otel"

// Pool is what [Observe] needs of a pool; every *core.Pool is one.
type Pool interface {
	Measure()
	Stats() core.Stats
	Retrier() *retry.Retrier
}

// Option sets one parameter of [Observe].
type Option func(*config)

type config struct {
	tracers trace.TracerProvider
	meters  metric.MeterProvider
}

// WithTracerProvider sets where spans go. The default is otel.GetTracerProvider().
func WithTracerProvider(p trace.TracerProvider) Option { return func(c *config) { c.tracers = p } }

// WithMeterProvider sets where metrics go. The default is otel.GetMeterProvider().
func WithMeterProvider(p metric.MeterProvider) Option { return func(c *config) { c.meters = p } }

// Observe makes the calls of a pool spans and metrics, from now on. The name is that
// of the pool, which no other should have: the numbers of two pools of one name
// replace each other. stop ends the metrics of the pool itself; call it after Close.
func Observe(name string, p Pool, kind Kind, opts ...Option) (stop func() error, err error) {
	if kind.describe == nil {
		return nil, fmt.Errorf("otelobserver: pool %q: the zero Kind is none; use HTTP, RPC or DB", name)
	}
	c := config{tracers: otel.GetTracerProvider(), meters: otel.GetMeterProvider()}
	for _, o := range opts {
		if o != nil {
			o(&c)
		}
	}
	meter := c.meters.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL))
	o := &observer{name: name, kind: kind, tracer: c.tracers.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL))}
	var errs [2]error
	o.duration, errs[0] = kind.duration(meter)
	if kind.db {
		var wait dbconv.ClientConnectionWaitTime
		wait, errs[1] = dbconv.NewClientConnectionWaitTime(meter, metric.WithExplicitBucketBoundaries(boundaries...))
		o.wait = wait.Inst()
	}
	registration, err := observePool(meter, name, p, kind)
	if err = errors.Join(errs[0], errs[1], err); err != nil {
		return nil, fmt.Errorf("otelobserver: pool %q: %w", name, err)
	}
	p.Measure()
	p.Retrier().Observe(o)
	return registration.Unregister, nil
}

// Inject adds the span of ctx to a header, by the propagator of the program, so that
// the span of a server is a child of the attempt that asked it:
// httppool.WithHeader(otelobserver.Inject).
func Inject(ctx context.Context, header http.Header) {
	otel.GetTextMapPropagator().Inject(ctx, propagation.HeaderCarrier(header))
}

// observer makes spans and measurements of attempts.
type observer struct {
	name     string
	kind     Kind
	tracer   trace.Tracer
	duration metric.Float64Histogram
	wait     metric.Float64Histogram // nil unless it is a database
}

// Begin implements [retry.Observer].
func (o *observer) Begin(ctx context.Context, a retry.Info) context.Context {
	name, attrs := o.kind.describe(o.name, a)
	if o.kind.spanOnly != nil {
		attrs = with(attrs, o.kind.spanOnly(a)...)
	}
	ctx, _ = o.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(a.Began), trace.WithAttributes(attrs...))
	return ctx
}

// End implements [retry.Observer].
func (o *observer) End(ctx context.Context, a retry.Info) {
	span := trace.SpanFromContext(ctx)
	defer span.End()
	span.SetAttributes(with(peer(a.Endpoint), attribute.Float64("multipool.wait", a.Wait.Seconds()))...)
	if a.Hedged {
		span.SetAttributes(attribute.Bool("multipool.hedged", true))
	}
	if a.Verdict == retry.VerdictNoServer && a.Err == nil {
		return // the attempt was not made: no other server is left to ask
	}
	_, attrs := o.kind.describe(o.name, a)
	var end []attribute.KeyValue
	if a.Code != 0 {
		end = append(end, semconv.HTTPResponseStatusCode(a.Code))
	}
	if failure := errorType(a); failure != "" {
		end = append(end, semconv.ErrorTypeKey.String(failure))
		text := ""
		if a.Err != nil {
			text = a.Err.Error()
		}
		span.SetStatus(codes.Error, text)
	}
	span.SetAttributes(end...)
	// By the context that has the span, for exemplars.
	o.duration.Record(ctx, (a.Wait + a.Latency).Seconds(), metric.WithAttributes(with(attrs, end...)...))
	if o.wait != nil && a.Endpoint != "" {
		o.wait.Record(ctx, a.Wait.Seconds(), metric.WithAttributes(semconv.DBClientConnectionPoolName(o.name)))
	}
}

// errorType is the kind of error that an attempt ended with; empty if it succeeded.
func errorType(a retry.Info) string {
	var timeout interface{ Timeout() bool }
	switch {
	case a.Code >= http.StatusBadRequest:
		return strconv.Itoa(a.Code)
	case a.Err == nil:
		return ""
	case a.Outcome == balance.OutcomeCanceled, errors.Is(a.Err, context.Canceled):
		return "canceled"
	case errors.Is(a.Err, context.DeadlineExceeded), errors.As(a.Err, &timeout) && timeout.Timeout():
		return "timeout"
	default:
		return semconv.ErrorType(a.Err).Value.AsString()
	}
}
