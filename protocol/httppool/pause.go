package httppool

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// maxAvoided is how many addresses a call can avoid, see [core.Avoid].
const maxAvoided = 4

// pauses are the servers that asked to be left alone for a while. Its zero
// value has none, which costs a call one atomic load.
type pauses struct {
	mu  sync.Mutex              // of those who add
	all atomic.Pointer[[]pause] // by their ends, the last one last; nil when there are none
}

type pause struct {
	addr string
	end  time.Time
}

// add pauses the server until end, if that is not paused for longer already.
func (p *pauses) add(addr string, now, end time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := []pause{{addr, end}}
	if old := p.all.Load(); old != nil {
		for _, o := range *old {
			switch {
			case o.addr == addr && o.end.After(end):
				return
			case o.addr != addr && o.end.After(now):
				next = append(next, o)
			}
		}
	}
	slices.SortFunc(next, func(a, b pause) int { return a.end.Compare(b.end) })
	p.all.Store(&next)
}

// avoid appends the options that keep a call away from the servers paused now:
// of more than four from those with the longest pauses, which is as many as the
// pool looks at. When no other is up, it ignores them.
func (p *pauses) avoid(opts []core.CallOption) []core.CallOption {
	all := p.all.Load()
	if all == nil {
		return opts
	}
	now := time.Now()
	if last := (*all)[len(*all)-1]; !last.end.After(now) {
		p.all.CompareAndSwap(all, nil)
		return opts
	}
	for _, o := range (*all)[max(0, len(*all)-maxAvoided):] {
		if o.end.After(now) {
			opts = append(opts, core.Avoid(o.addr))
		}
	}
	return opts
}
