package retry

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/minicaptain/multi_connection_pool/internal/ctxerr"
)

// errEnded is the error of an attempt that ended its goroutine.
var errEnded = errors.New("retry: the call ended its goroutine")

// RunHedged makes a call as [Run] does. If that is late, it makes the call a
// second time at the same time, on another server; the first that ends with
// [VerdictDone] counts, and the context of the other is canceled. It is for calls
// that may be executed twice, and for a try that may run twice at the same time.
// The try must call [Attempt.Leased], or the call is made only once.
//
// Late is later than 95 of a hundred such calls of this pool, and than twice
// their median. Two calls of a hundred are made twice at most, and none while
// the pool knows too little or has more calls in flight than usual: what is late
// for want of capacity is not made faster by more calls. RunHedged may return
// while the other try still runs. A panic in try is raised again in the caller's
// goroutine, with the stack in its text.
func RunHedged[T any](ctx context.Context, r *Retrier, c Call, try func(context.Context, Attempt) (T, Result, error)) (T, error) {
	var none T
	outer := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h := hedged[T]{retrier: r, call: c, try: try, ended: make(chan ending[T], 2)}
	defer h.leave()
	go h.run(ctx, Attempt{retrier: r, leased: h.note}) // ends with its lease, which the pool waits for
	var late <-chan time.Time
	if d, ok := r.gate.after(); ok {
		t := time.NewTimer(d)
		defer t.Stop()
		late = t.C
	}
	var failed outcome[T] // the call that has ended, while the other runs
	defer func() { failed.discard() }()
	for running := 1; ; {
		select {
		case e := <-h.ended:
			running--
			if e.panicked != nil {
				panic(e.panicked)
			}
			if e.result.Verdict != VerdictDone {
				h.settle(e, HedgeFailed)
			}
			switch {
			case e.result.Verdict == VerdictDone:
				h.settle(e, HedgeWon)
				return e.value, e.err
			case errors.Is(e.err, errNotAsked) && running > 0:
				continue
			case e.result.Verdict == VerdictNoServer && failed.result.Verdict != VerdictDone:
				e.outcome, failed = failed, e.outcome // which says less
			}
			if running == 0 {
				return e.value, e.err
			}
			failed = e.outcome
		case <-late:
			late = nil
			// A first call without a server waits for a connection: another
			// would too. The second must not go to the server that is late.
			asked := h.servers()
			if n := len(asked); n > 0 && r.pool.Available(1, asked[n-1], nil) && r.gate.take() {
				running++
				last := []string{asked[n-1]}
				go h.run(ctx, Attempt{retrier: r, Excluded: asked, spent: last, barred: last, hedged: true}) // ends as the first does
			}
		case <-outer.Done():
			return none, ctxerr.Of(outer)
		}
	}
}

// hedged is one call of RunHedged.
type hedged[T any] struct {
	retrier *Retrier
	call    Call
	try     func(context.Context, Attempt) (T, Result, error)

	mu    sync.Mutex
	asked []string       // by the first call, each once, in the order of the last time
	left  bool           // the caller has returned
	ended chan ending[T] // has room for both
}

// ending is how one of the two calls ended.
type ending[T any] struct {
	outcome[T]

	second   bool
	panicked any
}

// note records a server that the first call asks.
func (h *hedged[T]) note(addr string) {
	h.mu.Lock()
	h.asked = append(slices.DeleteFunc(h.asked, func(a string) bool { return a == addr }), addr)
	h.mu.Unlock()
}

// servers returns the servers that the first call has asked; the last one is late.
func (h *hedged[T]) servers() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.asked)
}

// run makes one of the two calls.
func (h *hedged[T]) run(ctx context.Context, a Attempt) {
	e := ending[T]{outcome: outcome[T]{err: errEnded, result: Result{Verdict: VerdictFailed}}, second: a.hedged}
	defer func() {
		if v := recover(); v != nil {
			buf := make([]byte, 64<<10)
			e.panicked = fmt.Sprintf("%v [in a hedged call]\n%s", v, buf[:runtime.Stack(buf, false)])
		}
		h.end(e)
	}()
	begun := h.retrier.pool.Now()
	e.outcome = run(ctx, h.call, a, h.try)
	if e.err == nil && e.result.Verdict == VerdictDone {
		h.retrier.gate.record(h.retrier.pool.Now() - begun)
	}
}

// end passes the outcome of a call to the caller, or discards it if the caller has
// returned.
func (h *hedged[T]) end(e ending[T]) {
	h.mu.Lock()
	left := h.left
	if !left {
		h.ended <- e
	}
	h.mu.Unlock()
	if left {
		h.settle(e, HedgeLost)
		e.discard()
	}
}

// settle notes how the second call ended, if e is its end and it has been to a
// server.
func (h *hedged[T]) settle(e ending[T], end HedgeEnd) {
	if e.second && e.result.Endpoint != "" {
		h.retrier.pool.Hedged(e.result.Endpoint, end)
	}
}

// leave notes that the caller returns, and discards what it does not get.
func (h *hedged[T]) leave() {
	h.mu.Lock()
	h.left = true
	h.mu.Unlock()
	for {
		select {
		case e := <-h.ended:
			h.settle(e, HedgeLost)
			e.discard()
		default:
			return
		}
	}
}
