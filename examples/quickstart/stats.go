package main

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// stats counts what the callers see: which server answered, and how fast.
// All of it comes from the replies, none of it from the pool. It is safe for
// concurrent use.
type stats struct {
	start   time.Time
	servers []string // addresses
	index   map[string]int
	calls   []histogram // by server
	lost    atomic.Uint64

	// onAnswer is called once, at a server's next answer.
	onAnswer []atomic.Pointer[func()]

	mu   sync.Mutex
	errs []error // the first few of the lost calls
}

func newStats(servers []string) *stats {
	s := &stats{
		start:    time.Now(),
		servers:  servers,
		index:    make(map[string]int, len(servers)),
		calls:    make([]histogram, len(servers)),
		onAnswer: make([]atomic.Pointer[func()], len(servers)),
	}
	for i, addr := range servers {
		s.index[addr] = i
	}
	return s
}

// answered counts a call that server answered after latency.
func (s *stats) answered(server string, latency time.Duration) {
	i := s.index[server]
	s.calls[i].add(latency)
	if f := s.onAnswer[i].Load(); f != nil && s.onAnswer[i].CompareAndSwap(f, nil) {
		(*f)()
	}
}

// atNextAnswer has f called when server answers next.
func (s *stats) atNextAnswer(server string, f func()) { s.onAnswer[s.index[server]].Store(&f) }

// failed counts a call that got no answer.
func (s *stats) failed(err error) {
	const most = 5
	s.lost.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.errs) < most {
		s.errs = append(s.errs, err)
	}
}

// firstErrors returns the errors of the first lost calls.
func (s *stats) firstErrors() []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.errs)
}

// period is what happened between two moments.
type period struct {
	from, to time.Duration // since the start
	servers  []counts
	lost     uint64
}

// now returns what happened since the start.
func (s *stats) now() period {
	p := period{to: time.Since(s.start), servers: make([]counts, len(s.calls)), lost: s.lost.Load()}
	for i := range s.calls {
		s.calls[i].counts(&p.servers[i])
	}
	return p
}

// since returns the part of p that came after earlier, which began with p. The
// zero period is the start.
func (p period) since(earlier period) period {
	d := period{from: earlier.to, to: p.to, servers: slices.Clone(p.servers), lost: p.lost - earlier.lost}
	for i := range earlier.servers {
		d.servers[i].sub(&earlier.servers[i])
	}
	return d
}

// all returns the latencies of all servers together.
func (p period) all() *counts {
	var sum counts
	for i := range p.servers {
		sum.add(&p.servers[i])
	}
	return &sum
}

// share returns the part of all calls that server i answered.
func (p period) share(i int) float64 {
	total := p.all().total()
	if total == 0 {
		return 0
	}
	return float64(p.servers[i].total()) / float64(total)
}

// busiest returns the server that answered most calls.
func (p period) busiest() (most int) {
	for i := range p.servers {
		if p.servers[i].total() > p.servers[most].total() {
			most = i
		}
	}
	return most
}

func (p period) perSecond(n uint64) float64 {
	if p.to <= p.from {
		return 0
	}
	return float64(n) / (p.to - p.from).Seconds()
}
