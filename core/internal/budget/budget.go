// Package budget limits repeated calls to a share of the calls, so that a
// client does not multiply the load of servers that fail for want of capacity
// (as Finagle's RetryBudget does).
package budget

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	share  = 0.2 // retries per call
	floor  = 10  // retries per second in any case
	window = 10  // seconds that what was not used lasts
)

// Budget holds what the last ten seconds have brought, with exponential decay,
// and is computed only when a retry asks for it. It is safe for concurrent use.
type Budget struct {
	calls atomic.Uint64 // made so far

	mu     sync.Mutex
	tokens float64
	seen   uint64        // of calls
	at     time.Duration // of tokens
}

// New returns a budget that is full at the time 0.
func New() *Budget { return &Budget{tokens: floor * window} }

// Count adds n calls.
func (b *Budget) Count(n uint64) { b.calls.Add(n) }

// Take takes the token for one retry, if there is one.
func (b *Budget) Take(now time.Duration) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if dt := (now - b.at).Seconds(); dt > 0 {
		calls := b.calls.Load()
		rate := floor + share*float64(calls-b.seen)/dt
		rest := math.Exp(-dt / window)
		b.tokens = b.tokens*rest + rate*window*(1-rest)
		b.seen, b.at = calls, now
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
