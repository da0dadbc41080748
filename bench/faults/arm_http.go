package main

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/protocol/httppool"
)

func httpArms() []arm {
	return []arm{
		{idempotent, func(addrs []string) (way, error) {
			return openHTTP(addrs, http.MethodGet, httppool.Config{})
		}},
		{hedged, func(addrs []string) (way, error) {
			all := httppool.WithHedged(func(*http.Request) bool { return true })
			return openHTTP(addrs, http.MethodGet, httppool.Config{}, all)
		}},
		{notIdempotent, func(addrs []string) (way, error) {
			return openHTTP(addrs, http.MethodPost, httppool.Config{Timeout: attempt, Ping: get})
		}},
		{"http.Client, round robin, a retry", openRotation},
	}
}

// httpWay sends requests to one host, which is the name of a pool.
type httpWay struct {
	client *http.Client
	method string
	io.Closer
}

func openHTTP(addrs []string, method string, conf httppool.Config, opts ...httppool.Option) (way, error) {
	pool, err := core.New(static.Watcher(addrs...), httppool.Dial(conf))
	if err != nil {
		return nil, err
	}
	w := httpWay{method: method, Closer: closing(pool.Close)}
	var transport httppool.Transport
	if err := transport.Register("echo", pool, opts...); err != nil {
		return w, err
	}
	w.client = transport.Client()
	return w, pool.WaitReady(context.Background())
}

func (w httpWay) ask(ctx context.Context) (string, error) {
	return request(ctx, w.client.Do, w.method, "echo")
}

// get probes an ejected server before a request that must not be repeated.
func get(ctx context.Context, conn http.RoundTripper) error {
	_, err := request(ctx, conn.RoundTrip, http.MethodGet, "echo")
	return err
}

// request makes a request to a host and returns the whole body of the response.
func request(ctx context.Context, do func(*http.Request) (*http.Response, error), method, host string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+host+"/", nil)
	if err != nil {
		return "", err
	}
	resp, err := do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	return string(body), err
}
