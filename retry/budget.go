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

	// low means that more than half of the tokens is used up.
	low atomic.Bool

	mu     sync.Mutex
	tokens float64
	full   float64       // what tokens would be if none had been taken
	seen   uint64        // the calls that are in tokens already
	at     time.Duration // when tokens was computed
}

// newBudget returns a budget that is full at the time 0.
func newBudget() *budget {
	return &budget{tokens: budgetFloor * budgetWindow, full: budgetFloor * budgetWindow}
}

// count adds n calls.
func (b *budget) count(n uint64) { b.calls.Add(n) }

// take takes the token for one repeated call, if there is one.
func (b *budget) take(now time.Duration) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refillLocked(now)
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	b.low.Store(2*b.tokens < b.full)
	return true
}

// refill brings tokens up to date.
func (b *budget) refill(now time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refillLocked(now)
	b.low.Store(2*b.tokens < b.full)
}

func (b *budget) refillLocked(now time.Duration) {
	dt := (now - b.at).Seconds()
	if dt <= 0 {
		return
	}
	calls := b.calls.Load()
	rate := budgetFloor + budgetShare*float64(calls-b.seen)/dt
	keep := math.Exp(-dt / budgetWindow)
	fresh := rate * budgetWindow * (1 - keep)
	b.tokens, b.full = b.tokens*keep+fresh, b.full*keep+fresh
	b.seen, b.at = calls, now
}
