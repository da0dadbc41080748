//go:build go1.26

package httppool

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/minicaptain/multi_connection_pool/core"
)

// Transport is an [http.RoundTripper] that sends each request to a server of the
// pool that is registered under the host of the request's URL. The zero Transport
// has no pool and is ready to use. It is safe for concurrent use and must not be
// copied after its first use. [NewClient] makes one with its pools.
//
// A Transport does not own its pools: whoever made a pool closes it, which waits
// for the bodies of responses that are not closed yet.
type Transport struct {
	// Fallback sends the requests to hosts under which no pool is registered,
	// such as those that a redirect leads to. Nil means that they fail with
	// [ErrUnknownHost]. It must not be changed after the first use.
	Fallback http.RoundTripper

	mu       sync.Mutex                          // serializes change
	services atomic.Pointer[map[string]*service] // replaced, never changed
}

// Register makes requests for the host go to a server of the pool. The host is
// what a URL has between "//" and the path: "echo" for http://echo/path. A port
// is part of it: "echo" and "echo:8080" are two hosts. Host names are
// case-insensitive. The scheme of the requests must be https if the pool's
// connections are dialed with TLS, and http if not.
//
// Register returns an error if the host is not valid or is registered already.
// One pool may be registered under several hosts.
func (t *Transport) Register(host string, pool *core.Pool[*Conn], opts ...Option) error {
	u, err := url.Parse("http://" + host + "/")
	switch {
	case err != nil || u.Host != host || u.Hostname() == "" || u.Path != "/":
		return fmt.Errorf("httppool: host %q: not the host of a URL", host)
	case pool == nil:
		return fmt.Errorf("httppool: host %q: the pool is nil", host)
	case slices.ContainsFunc(opts, func(o Option) bool { return o == nil }):
		return fmt.Errorf("httppool: host %q: %w", host, errNilOption)
	}
	s := newService(pool, opts)
	lower := strings.ToLower(host)
	return t.change(func(all map[string]*service) error {
		if all[lower] != nil {
			return fmt.Errorf("httppool: host %q: it is registered already", host)
		}
		all[lower] = s
		return nil
	})
}

// Unregister undoes Register for later requests. Requests under way go on. It
// does nothing if the host is not registered.
func (t *Transport) Unregister(host string) {
	_ = t.change(func(all map[string]*service) error { // which never fails
		delete(all, strings.ToLower(host))
		return nil
	})
}

func (t *Transport) change(f func(map[string]*service) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := map[string]*service{}
	maps.Copy(all, t.all())
	if err := f(all); err != nil {
		return err
	}
	t.services.Store(&all)
	return nil
}

func (t *Transport) all() map[string]*service {
	if all := t.services.Load(); all != nil {
		return *all
	}
	return nil
}

// Client returns a client over the Transport, as http.Client{Transport: t}.
func (t *Transport) Client() *http.Client { return &http.Client{Transport: t} }

// RoundTrip implements [http.RoundTripper]. It blocks until a server's response
// begins, the request's context is done, or the attempts are used up. The body
// of the response must be closed, or read to its end: only then does the
// connection serve another request. Errors are [*Error]s, except for those of
// Fallback.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL == nil {
		return nil, refuse(req, errors.New("the request has no URL"))
	}
	if s := t.service(req.URL.Host); s != nil {
		return cancelable(req, s.send)
	}
	if t.Fallback != nil {
		return t.Fallback.RoundTrip(req)
	}
	known := slices.Sorted(maps.Keys(t.all()))
	if len(known) == 0 {
		return nil, refuse(req, fmt.Errorf("%w %q; none is", ErrUnknownHost, req.URL.Host))
	}
	return nil, refuse(req, fmt.Errorf("%w %q; known are %s", ErrUnknownHost, req.URL.Host, strings.Join(known, ", ")))
}

func (t *Transport) service(host string) *service {
	all := t.all()
	if s := all[host]; s != nil {
		return s
	}
	return all[strings.ToLower(host)]
}

// CloseIdleConnections closes the connections of all pools: idle ones at once,
// others when their response has been read. [http.Client.CloseIdleConnections]
// calls it.
func (t *Transport) CloseIdleConnections() {
	for _, s := range t.all() {
		s.pool.Reset()
	}
	if f, ok := t.Fallback.(interface{ CloseIdleConnections() }); ok {
		f.CloseIdleConnections()
	}
}
