package retry

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	budgetShare  = 0.2 // repeated calls per call
	budgetFloor  = 10  // repeated calls per second in any case
	budgetWindow = 10  // seconds for which an unused token lasts
)

// budget limits repeated calls to a share of the calls, so that a client does
// not multiply the load of servers that fail for want of capacity (as Finagle's
// RetryBudget does). It holds what the last ten seconds have brought, with
// exponential decay, and is computed only when take asks for it. It is safe for
// concurrent use.
type budget struct {
	calls atomic.Uint64 // made so far

	mu     sync.Mutex
	tokens float64
	seen   uint64        // the calls that are in tokens already
	at     time.Duration // when tokens was computed
}

// newBudget returns a budget that is full at the time 0.
func newBudget() *budget { return &budget{tokens: budgetFloor * budgetWindow} }

// count adds n calls.
func (b *budget) count(n uint64) { b.calls.Add(n) }

// take takes the token for one repeated call, if there is one.
func (b *budget) take(now time.Duration) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if dt := (now - b.at).Seconds(); dt > 0 {
		calls := b.calls.Load()
		rate := budgetFloor + budgetShare*float64(calls-b.seen)/dt
		keep := math.Exp(-dt / budgetWindow)
		b.tokens = b.tokens*keep + rate*budgetWindow*(1-keep)
		b.seen, b.at = calls, now
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
