package main

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/bufbuild/httplb"
	"github.com/bufbuild/httplb/resolver"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/protocol/httppool"
)

// arm is one way to reach the servers.
type arm struct {
	name string
	open func(addrs []string, load workload) (way, error)
}

// way is an open arm, which all callers share.
type way interface {
	// next is a client and the URL of the next request.
	next() (*http.Client, string)
	io.Closer
}

// The arms that the goals name.
const (
	plain = "http.Client, round robin by hand"
	ours  = "multipool"
	lb    = "httplb"
)

func arms() []arm { return []arm{{plain, openPlain}, {ours, openPool}, {lb, openLB}} }

// rotation is what people write by hand: a client of the standard library, and the servers in turn.
type rotation struct {
	transport *http.Transport
	client    *http.Client
	urls      []string
	turn      atomic.Uint64
}

func openPlain(addrs []string, load workload) (way, error) {
	r := &rotation{transport: &http.Transport{
		MaxIdleConnsPerHost: load.callers, ExpectContinueTimeout: time.Second, Protocols: new(http.Protocols),
	}}
	r.transport.Protocols.SetHTTP1(!load.http2)
	r.transport.Protocols.SetUnencryptedHTTP2(load.http2)
	r.client = &http.Client{Transport: r.transport}
	for _, addr := range addrs {
		r.urls = append(r.urls, "http://"+addr+load.path())
	}
	return r, nil
}

func (r *rotation) next() (*http.Client, string) {
	return r.client, r.urls[r.turn.Add(1)%uint64(len(r.urls))]
}

func (r *rotation) Close() error {
	r.transport.CloseIdleConnections()
	return nil
}

// named is an arm whose URL names the service, not a server.
type named struct {
	client *http.Client
	url    string
	close  func() error
}

func (n *named) next() (*http.Client, string) { return n.client, n.url }
func (n *named) Close() error                 { return n.close() }

func openPool(addrs []string, load workload) (way, error) {
	opts := []core.Option{core.MaxActive(load.callers)}
	if load.http2 {
		opts = []core.Option{core.MaxActive(1 + load.callers/streams), core.Share(streams)}
	}
	pool, err := core.New(static.Watcher(addrs...), httppool.Dial(httppool.Config{HTTP2: load.http2}), opts...)
	if err != nil {
		return nil, err
	}
	n := &named{url: "http://echo" + load.path(), close: func() error { return pool.Close(context.Background()) }}
	var transport httppool.Transport
	if err := transport.Register("echo", pool); err != nil {
		return n, err
	}
	n.client = transport.Client()
	return n, pool.WaitReady(context.Background())
}

// streams is how many requests share a connection of HTTP/2, as Go's servers allow by default.
const streams = 250

func openLB(addrs []string, load workload) (way, error) {
	c := httplb.NewClient(httplb.WithResolver(fixed(addrs)))
	scheme := "http"
	if load.http2 {
		scheme = "h2c"
	}
	return &named{client: c.Client, url: scheme + "://echo" + load.path(), close: c.Close}, nil
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

func (l workload) path() string { return "/" + strconv.Itoa(l.payload) }
