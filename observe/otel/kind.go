package otelobserver

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/dbconv"
	"go.opentelemetry.io/otel/semconv/v1.43.0/httpconv"
	"go.opentelemetry.io/otel/semconv/v1.43.0/rpcconv"

	"github.com/minicaptain/multi_connection_pool/retry"
)

// Kind is what the calls of a pool are, which decides by which conventions they are
// named: [HTTP], [RPC] or [DB].
type Kind struct {
	// describe returns the name of a span, and the attributes of spans and metrics
	// that are known when the attempt begins.
	describe func(pool string, a retry.Info) (name string, attrs []attribute.KeyValue)
	// spanOnly returns those that have too many values for metrics.
	spanOnly func(a retry.Info) []attribute.KeyValue
	duration func(metric.Meter) (metric.Float64Histogram, error)
	db       bool
}

// HTTP is the kind of pools of protocol/httppool.
func HTTP() Kind {
	return Kind{
		describe: func(pool string, a retry.Info) (string, []attribute.KeyValue) {
			method, name := known(a.Name)
			attrs := []attribute.KeyValue{semconv.HTTPRequestMethodKey.String(method)}
			req, _ := a.Request.(*http.Request)
			if req == nil || req.URL == nil {
				return name, append(attrs, semconv.ServerAddress(pool))
			}
			return name, append(attrs, semconv.ServerAddress(req.URL.Hostname()), semconv.ServerPort(port(req.URL)))
		},
		spanOnly: func(a retry.Info) (attrs []attribute.KeyValue) {
			if req, _ := a.Request.(*http.Request); req != nil && req.URL != nil {
				attrs = append(attrs, semconv.URLFull(redacted(req.URL)))
			}
			if method, _ := known(a.Name); method == other {
				attrs = append(attrs, semconv.HTTPRequestMethodOriginal(a.Name))
			}
			if a.Number > 1 {
				attrs = append(attrs, semconv.HTTPRequestResendCount(a.Number-1))
			}
			return attrs
		},
		duration: func(m metric.Meter) (metric.Float64Histogram, error) {
			h, err := httpconv.NewClientRequestDuration(m)
			return h.Inst(), err
		},
	}
}

// RPC is the kind of pools whose calls are remote procedure calls of a system, such
// as "thrift". The service, if it is not empty, makes the name of a method a full
// one: "Echo/echo".
func RPC(system, service string) Kind {
	if service != "" {
		service += "/"
	}
	return Kind{
		describe: func(pool string, a retry.Info) (string, []attribute.KeyValue) {
			attrs := []attribute.KeyValue{semconv.RPCSystemNameKey.String(system), semconv.ServerAddress(pool)}
			if a.Name == "" {
				return system, attrs
			}
			return service + a.Name, append(attrs, semconv.RPCMethod(service+a.Name))
		},
		duration: func(m metric.Meter) (metric.Float64Histogram, error) {
			h, err := rpcconv.NewClientCallDuration(m)
			return h.Inst(), err
		},
	}
}

// DB is the kind of pools of connections to a database system, such as "redis" or
// "memcached".
func DB(system string) Kind {
	return Kind{
		describe: func(pool string, a retry.Info) (string, []attribute.KeyValue) {
			attrs := []attribute.KeyValue{semconv.DBSystemNameKey.String(system), semconv.ServerAddress(pool)}
			if a.Name == "" {
				return system, attrs
			}
			return a.Name + " " + pool, append(attrs, semconv.DBOperationName(a.Name))
		},
		duration: func(m metric.Meter) (metric.Float64Histogram, error) {
			h, err := dbconv.NewClientOperationDuration(m, metric.WithExplicitBucketBoundaries(boundaries...))
			return h.Inst(), err
		},
		db: true,
	}
}

// other is the method of requests whose method the conventions do not know.
const other = "_OTHER"

// known returns the method of a request as metrics have it, and the name of its
// span.
func known(method string) (value, span string) {
	switch method {
	case "":
		return http.MethodGet, http.MethodGet
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodConnect,
		http.MethodOptions, http.MethodTrace, "QUERY":
		return method, method
	default:
		return other, "HTTP"
	}
}

func port(u *url.URL) int {
	if n, err := strconv.Atoi(u.Port()); err == nil {
		return n
	}
	if u.Scheme == "https" {
		return 443
	}
	return 80
}

// redacted is a URL without what the conventions want left out: a user and a
// password, and the signatures of signed URLs.
func redacted(u *url.URL) string {
	clean := *u
	if clean.User != nil {
		clean.User = url.UserPassword("REDACTED", "REDACTED")
	}
	query, changed := clean.Query(), false
	for _, key := range []string{"AWSAccessKeyId", "Signature", "sig", "X-Goog-Signature"} {
		if query.Has(key) {
			query.Set(key, "REDACTED")
			changed = true
		}
	}
	if changed {
		clean.RawQuery = query.Encode()
	}
	return clean.String()
}

// peer is the attributes of the server that was asked.
func peer(endpoint string) []attribute.KeyValue {
	if endpoint == "" {
		return nil
	}
	if path, ok := strings.CutPrefix(endpoint, "unix:"); ok {
		return []attribute.KeyValue{semconv.NetworkPeerAddress(path), semconv.NetworkTransportUnix}
	}
	host, port, _ := net.SplitHostPort(endpoint)
	n, err := strconv.Atoi(port)
	if err != nil {
		return []attribute.KeyValue{semconv.NetworkPeerAddress(endpoint)}
	}
	return []attribute.KeyValue{semconv.NetworkPeerAddress(host), semconv.NetworkPeerPort(n)}
}

func with(attrs []attribute.KeyValue, more ...attribute.KeyValue) []attribute.KeyValue {
	return append(slices.Clip(attrs), more...)
}
