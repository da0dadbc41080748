//go:build go1.26

package httppool

import (
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// retryAfter returns how long the response asks its client to stay away; zero
// when it does not.
func retryAfter(resp *http.Response, now time.Time) time.Duration {
	v := resp.Header.Get("Retry-After")
	if v == "" {
		return 0
	}
	if n, err := strconv.ParseUint(v, 10, 32); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(t.Sub(now), 0)
	}
	return 0
}

// maxExcluded is how many addresses one call can exclude, see
// [core.WithoutEndpoint].
const maxExcluded = 4

// avoidance holds the servers that have asked their clients to stay away for a
// while. Its zero value is empty and costs a call one atomic load.
type avoidance struct {
	mu  sync.Mutex                // serializes add
	all atomic.Pointer[[]avoided] // in the order of their ends; nil when empty
}

type avoided struct {
	addr  string
	until time.Time
}

// add avoids the server until then, unless it is avoided for longer already.
func (p *avoidance) add(addr string, now, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := []avoided{{addr, until}}
	if old := p.all.Load(); old != nil {
		for _, o := range *old {
			switch {
			case o.addr == addr && o.until.After(until):
				return
			case o.addr != addr && o.until.After(now):
				next = append(next, o)
			}
		}
	}
	slices.SortFunc(next, func(a, b avoided) int { return a.until.Compare(b.until) })
	p.all.Store(&next)
}

// exclude appends the options that keep a call away from the servers avoided
// now. A call can exclude four, so of more servers it excludes the four that are
// avoided for longest. The pool ignores the options when no other server is
// available.
func (p *avoidance) exclude(opts []core.CallOption) []core.CallOption {
	all := p.all.Load()
	if all == nil {
		return opts
	}
	now := time.Now()
	if last := (*all)[len(*all)-1]; !last.until.After(now) {
		p.all.CompareAndSwap(all, nil)
		return opts
	}
	for _, o := range (*all)[max(0, len(*all)-maxExcluded):] {
		if o.until.After(now) {
			opts = append(opts, core.WithoutEndpoint(o.addr))
		}
	}
	return opts
}
