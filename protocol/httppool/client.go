//go:build go1.26

package httppool

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

// Client is an [http.Client] together with the pools that it uses. Its Transport
// is a [*Transport], which may be wrapped; its other fields may be set before the
// first request. It must be closed.
type Client struct {
	*http.Client

	transport *Transport
	pools     map[string]*core.Pool[*Conn] // by host
}

// NewClient returns a client for the hosts that are the keys of watchers. A
// request for http://users/42 goes to a server that watchers["users"] reports.
// See [Transport.Register] for what a host may be.
//
// Every host gets a pool of its own. Options hold for all hosts, those in
// [WithHost] for one. NewClient does no I/O. Its error names every mistake and
// the host of each.
func NewClient(watchers map[string]core.Watcher, opts ...ClientOption) (*Client, error) {
	conf, err := newClientConfig(opts)
	errs := []error{err}
	t := &Transport{Fallback: conf.fallback}
	c := &Client{Client: t.Client(), transport: t, pools: make(map[string]*core.Pool[*Conn], len(watchers))}
	for _, host := range slices.Sorted(maps.Keys(watchers)) {
		h := conf.take(host)
		pool, err := core.New(watchers[host], Dial(h.dial), h.pool...)
		if err != nil {
			errs = append(errs, fmt.Errorf("httppool: host %q: %w", host, err))
			continue
		}
		c.pools[host] = pool
		errs = append(errs, t.Register(host, pool, h.service...))
	}
	for _, host := range slices.Sorted(maps.Keys(conf.hosts)) {
		errs = append(errs, fmt.Errorf("httppool: WithHost(%q): there is no watcher for this host", host))
	}
	if err := errors.Join(errs...); err != nil {
		// The pools are unused: closing them takes as long as their watchers do.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = c.Close(ctx) // the mistake is what matters
		return nil, err
	}
	return c, nil
}

// OpenClient is [NewClient] for registries named by URLs, which mux opens:
//
//	httppool.OpenClient(&mux, map[string]string{"users": "zk://10.0.0.1:2181/services/users"})
func OpenClient(mux *discovery.Mux, urls map[string]string, opts ...ClientOption) (*Client, error) {
	watchers := make(map[string]core.Watcher, len(urls))
	var errs []error
	for _, host := range slices.Sorted(maps.Keys(urls)) {
		w, err := mux.Open(urls[host])
		if err != nil {
			errs = append(errs, fmt.Errorf("httppool: host %q: %w", host, err))
			continue
		}
		watchers[host] = w
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return NewClient(watchers, opts...)
}

// Pool returns the pool of a host, for its Stats, WaitReady and Set; nil if the
// client has none. The client closes it.
func (c *Client) Pool(host string) *core.Pool[*Conn] {
	if s := c.transport.service(host); s != nil {
		return s.pool
	}
	return nil
}

// Close closes all pools at once, as [core.Pool.Close] does: it waits for the
// bodies of responses that are not closed yet, and when ctx is done before that,
// it cuts their connections, and the error names the hosts. Requests fail from
// now on. Close may be called again.
func (c *Client) Close(ctx context.Context) error {
	hosts := slices.Sorted(maps.Keys(c.pools))
	errs := make([]error, len(hosts))
	var closing sync.WaitGroup
	for i, host := range hosts {
		closing.Go(func() {
			if err := c.pools[host].Close(ctx); err != nil {
				errs[i] = fmt.Errorf("httppool: host %q: %w", host, err)
			}
		})
	}
	closing.Wait()
	return errors.Join(errs...)
}

// ClientOption is an option of [NewClient]: [WithFallback], [WithHost], or a
// [HostOption], which then holds for every host.
type ClientOption interface {
	applyToClient(c *clientConfig)
}

// HostOption is what [WithHost] takes: [WithConfig], [WithPool] and each
// [Option].
type HostOption interface {
	ClientOption
	applyToHost(h *hostConfig)
}

// WithConfig sets how connections are opened and what is spoken on them. The
// default is the zero [Config].
func WithConfig(conf Config) HostOption { return hostOption(func(h *hostConfig) { h.dial = conf }) }

// WithPool adds options of the pools, such as [core.MaxActive].
func WithPool(opts ...core.Option) HostOption {
	return hostOption(func(h *hostConfig) { h.pool = append(h.pool, opts...) })
}

// WithFallback sets what sends requests for other hosts; see
// [Transport.Fallback].
func WithFallback(rt http.RoundTripper) ClientOption {
	return clientOption(func(c *clientConfig) { c.fallback = rt })
}

// WithHost gives options for one host. They apply after those for all hosts.
func WithHost(host string, opts ...HostOption) ClientOption {
	return clientOption(func(c *clientConfig) {
		host = strings.ToLower(host)
		c.hosts[host] = append(c.hosts[host], opts...)
	})
}

// clientConfig is the options of NewClient.
type clientConfig struct {
	fallback http.RoundTripper
	all      []HostOption
	hosts    map[string][]HostOption // by host in lower case
}

// hostConfig is the options of one host.
type hostConfig struct {
	dial    Config
	pool    []core.Option
	service []Option
}

type (
	clientOption func(*clientConfig)
	hostOption   func(*hostConfig)
)

func (o clientOption) applyToClient(c *clientConfig) { o(c) }
func (o hostOption) applyToClient(c *clientConfig)   { c.all = append(c.all, o) }
func (o hostOption) applyToHost(h *hostConfig)       { o(h) }
func (o Option) applyToClient(c *clientConfig)       { c.all = append(c.all, o) }
func (o Option) applyToHost(h *hostConfig)           { h.service = append(h.service, o) }

func newClientConfig(opts []ClientOption) (*clientConfig, error) {
	c := &clientConfig{hosts: map[string][]HostOption{}}
	for _, o := range opts {
		if o == nil {
			return c, errNilOption
		}
		o.applyToClient(c)
	}
	for _, all := range c.hosts {
		if slices.Contains(all, nil) {
			return c, errNilOption
		}
	}
	return c, nil
}

// take returns the options of a host, and forgets those that are its own.
func (c *clientConfig) take(host string) hostConfig {
	host = strings.ToLower(host)
	var h hostConfig
	for _, o := range slices.Concat(c.all, c.hosts[host]) {
		if o != nil {
			o.applyToHost(&h)
		}
	}
	delete(c.hosts, host)
	return h
}
