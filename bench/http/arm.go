package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/bufbuild/httplb"
	"github.com/bufbuild/httplb/resolver"

	"github.com/minicaptain/multi_connection_pool/bench/internal/endtoend"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/protocol/httppool"
)

// The names of the arms.
const (
	plain = "http.Client, round robin by hand"
	ours  = "multipool"
	lb    = "httplb"
)

// way is an open arm, which all callers share.
type way struct {
	client *http.Client
	// urls are used in turn: one that names the service, or one per server.
	urls  []string
	turn  atomic.Uint64
	size  int64 // of each answer
	close func() error
}

// newWay returns the way of a workload to one host, or to several in turn.
func newWay(load endtoend.Workload, client *http.Client, closing func() error, scheme string, hosts ...string) *way {
	w := &way{client: client, size: int64(load.Payload), close: closing}
	for _, host := range hosts {
		w.urls = append(w.urls, scheme+"://"+host+"/"+strconv.Itoa(load.Payload))
	}
	return w
}

func (w *way) Close() error { return w.close() }

func (w *way) Caller(int) func(context.Context) error { return w.get }

func (w *way) get(ctx context.Context) error {
	url := w.urls[0]
	if n := uint64(len(w.urls)); n > 1 {
		url = w.urls[w.turn.Add(1)%n]
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	} else if resp.StatusCode != http.StatusOK || n != w.size {
		return fmt.Errorf("%s: %d bytes, want %d", resp.Status, n, w.size)
	}
	return nil
}

// openPlain is what people write by hand: a client of the standard library, and the servers in turn.
func openPlain(addrs []string, load endtoend.Workload) (endtoend.Way, error) {
	transport := &http.Transport{
		MaxIdleConnsPerHost: load.Callers, ExpectContinueTimeout: time.Second, Protocols: new(http.Protocols),
	}
	transport.Protocols.SetHTTP1(load.Version == http1)
	transport.Protocols.SetUnencryptedHTTP2(load.Version == http2)
	closing := func() error {
		transport.CloseIdleConnections()
		return nil
	}
	return newWay(load, &http.Client{Transport: transport}, closing, "http", addrs...), nil
}

func openPool(addrs []string, load endtoend.Workload) (endtoend.Way, error) {
	c, err := httppool.NewClient(map[string]core.Watcher{"echo": static.Watcher(addrs...)},
		httppool.WithConfig(httppool.Config{HTTP2: load.Version == http2}), httppool.WithPool(core.MaxActive(load.Callers)))
	if err != nil {
		return nil, err
	}
	w := newWay(load, c.Client, func() error { return c.Close(context.Background()) }, "http", "echo")
	return w, c.Pool("echo").WaitReady(context.Background())
}

func openLB(addrs []string, load endtoend.Workload) (endtoend.Way, error) {
	c := httplb.NewClient(httplb.WithResolver(fixed(addrs)))
	scheme := "http"
	if load.Version == http2 {
		scheme = "h2c"
	}
	return newWay(load, c.Client, c.Close, scheme, "echo"), nil
}

// fixed is a resolver that knows a list of addresses.
type fixed []string

func (f fixed) New(_ context.Context, _, _ string, to resolver.Receiver, _ <-chan struct{}) io.Closer {
	all := make([]resolver.Address, len(f))
	for i, addr := range f {
		all[i].HostPort = addr
	}
	to.OnResolve(all)
	return f
}

func (f fixed) Close() error { return nil }
