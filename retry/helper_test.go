package retry_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/retry"
)

const ms = time.Millisecond

var errLost = errors.New("lost")

// pool is the pool that a Retrier asks.
type pool struct {
	begun   time.Time
	latency time.Duration
	servers int

	mu    sync.Mutex
	gone  []string
	notes []string
}

func newPool(servers int) *pool { return &pool{begun: time.Now(), servers: servers} }

func (p *pool) Now() time.Duration     { return time.Since(p.begun) }
func (p *pool) Latency() time.Duration { return p.latency }

func (p *pool) Available(n int, addr string, aside []string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k := range p.servers {
		if s := server(k); s != addr && !slices.Contains(aside, s) && !slices.Contains(p.gone, s) {
			n--
		}
	}
	return n <= 0
}

// out says which servers are down or ejected, and no others.
func (p *pool) out(servers ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = servers
}

func (p *pool) Repeated(addr string) { p.note("repeated " + addr) }

func (p *pool) Hedged(addr string, end retry.HedgeEnd) {
	p.note([...]string{"won ", "lost ", "failed "}[end] + addr)
}

func (p *pool) note(what string) {
	p.mu.Lock()
	p.notes = append(p.notes, what)
	p.mu.Unlock()
}

// noted returns what the pool was told.
func (p *pool) noted() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.notes)
}

// budget is how many tokens a new Retrier has: what ten seconds bring without
// calls.
const budget = 100

// tokens uses up the budget and returns what was left of it.
func tokens(t *testing.T, r *retry.Retrier) (n int) {
	t.Helper()
	for r.Allow(context.Background()) {
		n++
	}
	return n
}

// result is how an attempt on the server "a", "b" and so on ends.
type result struct {
	verdict retry.Verdict
	err     error
}

func done() result { return result{} }

func fails(v retry.Verdict) result { return result{v, errLost} }

// play runs a call whose attempts end as results say; the last one counts for
// all further attempts. It returns the attempts made, and what Run did. The
// value of attempt k is k.
func play(ctx context.Context, r *retry.Retrier, c retry.Call, results ...result) (attempts []retry.Attempt, value int, err error) {
	value, err = retry.Run(ctx, r, c, func(_ context.Context, a retry.Attempt) (int, retry.Result, error) {
		k := len(attempts)
		attempts = append(attempts, a)
		res := results[min(k, len(results)-1)]
		return k, retry.Result{Verdict: res.verdict, Endpoint: server(k)}, res.err
	})
	return attempts, value, err
}

// server is the address of a server of the pool: a, b, and so on, in the order in
// which attempts of play ask them.
func server(k int) string { return string(rune('a' + k)) }

func name(v retry.Verdict) string {
	return [...]string{"Done", "Stale", "Unsent", "Refused", "Worn", "Failed", "Overload", "NoServer"}[v]
}
