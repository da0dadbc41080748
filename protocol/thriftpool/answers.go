package thriftpool

import (
	"sync"
	"sync/atomic"
)

// answers is what is known of the replies to all connections of a dialer. It is
// safe for concurrent use.
type answers struct {
	largest atomic.Int64 // size of the largest request that was answered, in bytes; at least retain

	mu      sync.Mutex
	servers map[string]struct{} // addresses of servers that have answered
}

// mostServers bounds answers.servers, in a fleet whose addresses change for ever.
const mostServers = 4096

func newAnswers() *answers {
	a := &answers{servers: make(map[string]struct{})}
	a.largest.Store(retain)
	return a
}

// from notes that the server at addr has answered.
func (a *answers) from(addr string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.servers) >= mostServers {
		clear(a.servers)
	}
	a.servers[addr] = struct{}{}
}

// knows reports whether the server at addr has answered.
func (a *answers) knows(addr string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.servers[addr]
	return ok
}

// took notes that a request of that size was answered.
func (a *answers) took(size int) {
	for {
		old := a.largest.Load()
		if int64(size) <= old || a.largest.CompareAndSwap(old, int64(size)) {
			return
		}
	}
}

// outgrown reports whether a request of that size is larger than any that was
// answered, and than what a write buffer holds: servers may refuse it for its size.
func (a *answers) outgrown(size int) bool { return int64(size) > a.largest.Load() }

// understood notes a reply to the call that has ended.
func (c *Conn) understood() {
	if !c.answered {
		c.answered = true
		c.answers.from(c.addr)
	}
	if c.wire.size > retain {
		c.answers.took(c.wire.size)
	}
}
