package thriftpool

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// DefaultAttempts is how many servers a call is sent to at most, unless
	// [Attempts] says otherwise.
	DefaultAttempts = 3

	// maxStale bounds how many connections, ended before the call, a call may
	// come across. The pool drops the idle ones of a server with the first.
	maxStale = 16

	budgetShare  = 0.2 // retries per call
	budgetFloor  = 10  // retries per second in any case
	budgetWindow = 10  // seconds that what was not used lasts
	budgetBatch  = 16  // calls that a connection counts before it tells
)

// budget limits repeated calls to a share of the calls, so that a client does
// not multiply the load of servers that fail for want of capacity. It holds
// what the last [budgetWindow] seconds have brought, with exponential decay,
// and is computed only when a retry asks for it. Safe for concurrent use.
type budget struct {
	calls atomic.Uint64 // made so far, written in batches

	mu     sync.Mutex
	tokens float64
	seen   uint64    // of calls
	at     time.Time // of tokens
}

func newBudget() *budget {
	return &budget{tokens: budgetFloor * budgetWindow, at: time.Now()}
}

// count adds the n-th call of a connection to the budget, once per batch.
func (b *budget) count(n uint32) {
	if n%budgetBatch == 0 {
		b.calls.Add(budgetBatch)
	}
}

// take takes the token for one retry, if there is one.
func (b *budget) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if dt := now.Sub(b.at).Seconds(); dt > 0 {
		calls := b.calls.Load()
		rate := budgetFloor + budgetShare*float64(calls-b.seen)/dt
		rest := math.Exp(-dt / budgetWindow)
		b.tokens = b.tokens*rest + rate*budgetWindow*(1-rest)
		b.seen, b.at = calls, now
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
