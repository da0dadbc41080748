package retry

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
)

// maxStale is how many stale connections one call may meet that do not count as
// attempts. The pool drops the idle connections of a server with the first.
const maxStale = 16

// Verdict is how an attempt ended. It decides what follows; see the table in the
// package comment.
type Verdict uint8

const (
	// VerdictDone means that the attempt ended the call: with an answer, or with
	// an error that another attempt would not change.
	VerdictDone Verdict = iota
	// VerdictStale means that the peer had ended the connection before anything
	// was sent.
	VerdictStale
	// VerdictUnsent means that no server can have executed the call.
	VerdictUnsent
	// VerdictRefused means that the server refused to execute the call.
	VerdictRefused
	// VerdictWorn means that a connection broke that had served calls before: the
	// call may have been executed, and the server may be healthy.
	VerdictWorn
	// VerdictFailed means that the attempt failed, and the call may have been
	// executed.
	VerdictFailed
	// VerdictOverload means that the server answered that it has too much to do.
	VerdictOverload
	// VerdictNoServer means that no server was asked: no connection could be
	// leased, or [Attempt.Leased] returned false. It ends the call with its
	// error or, if that is nil, with the value and error of the attempt before.
	VerdictNoServer
)

// Result is the end of an attempt, beside its value and error.
type Result struct {
	Verdict Verdict
	// Endpoint is the address of the server that was asked, if one was.
	Endpoint string
	// Took is how long the server took to answer, or the attempt to fail, without
	// the wait for a connection. It is 0 if that is not known, as after a call whose
	// context was canceled. [Attempt.Until] follows from it.
	Took time.Duration
	// Outcome and Code are for an [Observer]: what the attempt says about its server,
	// and the number with which that answered, such as an HTTP status.
	Outcome balance.Outcome
	Code    int
	// Discard, if it is not nil, frees what the value holds. It is called once if
	// the caller does not get the value: a later attempt or the other of two hedged
	// calls replaced it, or the caller has returned.
	Discard func()
}

// Call bounds what may be done to make a call. The zero Call is one attempt.
type Call struct {
	// Attempts is the largest number of attempts, the first included; less than
	// 1 counts as 1. Those with [VerdictStale] do not count, up to 16.
	Attempts int
	// Repeatable means that the call may be executed more than once.
	Repeatable bool
	// Method is a hash of what is called, such as balance.Hash of its name.
	// [Attempt.Until] is measured for each method, so that calls that take long do
	// not count as late beside those that do not.
	Method uint64
	// Name is what is called, and Request with what, for an [Observer]; both may be
	// empty.
	Name    string
	Request any
}

// Pool is what a Retrier asks of its pool. The methods must be safe for
// concurrent use and cheap.
type Pool interface {
	// Now is the time since the pool was made.
	Now() time.Duration
	// Latency is the time that a call takes on average; 0 means unknown.
	Latency() time.Duration
	// Available reports whether at least n servers can be asked now, beside that of
	// addr and those of aside.
	Available(n int, addr string, aside []string) bool
	// Repeated is called after an attempt at the server addr that was not the first
	// of its call.
	Repeated(addr string)
	// Hedged is called when a second call, made because the first was late, has ended
	// that went to the server addr.
	Hedged(addr string, end HedgeEnd)
}

// HedgeEnd is how the second of two hedged calls ended.
type HedgeEnd uint8

const (
	// HedgeWon means that it answered first.
	HedgeWon HedgeEnd = iota
	// HedgeLost means that the first call answered, or the caller gave up.
	HedgeLost
	// HedgeFailed means that it failed while the first call was under way, or after
	// that had failed.
	HedgeFailed
)

// Retrier is the budget of repeated and hedged calls of one pool. Its methods
// are safe for concurrent use, Tick not with itself.
type Retrier struct {
	pool   Pool
	budget *budget
	gate   gate

	timeouts timeouts

	observers atomic.Pointer[[]Observer] // replaced, never changed; nil: none
}

// New returns the Retrier of a pool.
func New(p Pool) *Retrier { return &Retrier{pool: p, budget: newBudget()} }

// Count adds n calls, of which the budget is a share. The pool calls it.
func (r *Retrier) Count(n uint64) { r.budget.count(n) }

// Tick lets a tenth of a second pass; inFlight is the number of calls in flight
// now. The pool calls it.
func (r *Retrier) Tick(inFlight int) {
	r.gate.tick(inFlight)
	r.timeouts.tick()
	r.budget.refill(r.pool.Now())
}

// Allow reports whether a call that failed may be repeated now: ctx is not done,
// its deadline leaves the time that a call takes on average, and the budget has
// a token. If so, Allow takes the token. [Run] calls it by itself.
func (r *Retrier) Allow(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	if end, ok := ctx.Deadline(); ok && time.Until(end) < r.pool.Latency() {
		return false
	}
	return r.budget.take(r.pool.Now())
}

// Attempt is the parameters of one attempt.
type Attempt struct {
	// Excluded are the addresses of servers that the call has been to: the
	// attempt goes to one of them only if no other is available. It is nil for
	// the first attempt.
	Excluded []string
	// Err is the error of the attempt before, stale ones included; nil at first.
	Err error

	retrier *Retrier
	method  *method
	// others is how many attempts the call has after this one; 0 also if no
	// other may follow one that may have been executed.
	others int
	// spent are servers that have failed the call or are late with it, which are not
	// asked again while another is available; barred are those of them that are not
	// asked again in any case: overloaded, or still at work on the call.
	spent, barred []string
	leased        func(addr string)
	hedged        bool  // of the second of two hedged calls
	info          *Info // for observers; nil: there are none
}

// Leased notes that the attempt has a connection to the server addr, and reports
// whether the attempt may use it. If not, this server has too much to do or is still
// at work on the call, or it has failed the call as all others did that are available:
// release the connection unused and end the attempt with [VerdictNoServer] and a nil
// error.
func (a Attempt) Leased(addr string) bool {
	if a.info != nil {
		a.info.Endpoint, a.info.Wait = addr, time.Since(a.info.Began)
	}
	if slices.Contains(a.barred, addr) || slices.Contains(a.spent, addr) && !a.somewhere() {
		return false
	}
	if a.leased != nil {
		a.leased(addr)
	}
	return true
}

// somewhere reports whether the call may go to a server yet: to one that is available
// and not spent, or to the only one that is available and not barred.
func (a Attempt) somewhere() bool {
	p := a.retrier.pool
	return p.Available(1, "", a.spent) ||
		!p.Available(2, "", a.barred) && (len(a.barred) == 0 || p.Available(1, "", a.barred))
}

// allowed reports whether the attempt may be made after one that ended so.
func (a Attempt) allowed(ctx context.Context, c Call, v Verdict) bool {
	switch v {
	case VerdictStale, VerdictUnsent:
		return ctx.Err() == nil
	case VerdictRefused:
		return a.retrier.Allow(ctx)
	case VerdictWorn:
		return c.Repeatable && a.retrier.Allow(ctx)
	case VerdictFailed, VerdictOverload:
		return c.Repeatable && a.somewhere() && a.retrier.Allow(ctx)
	default:
		return false
	}
}

// Until returns the time by which the server addr must have answered so that the call
// can still be repeated, which an attempt that begins now should take as another
// deadline. It is the zero Time, which means that the attempt has all the time of
// the call, unless it is clear that the call may be repeated elsewhere and that
// the server should have answered: the call is Repeatable, an attempt is left, another
// server is available that has not failed this call, more than half of the
// budget of repeated calls is left, and at least 20 answers of the method are known.
//
// The time is ten times what 99 of a hundred answers of the method take, twice the
// longest answer of the last minutes, or 100 ms, whatever is longest. If the deadline
// of ctx leaves less for each attempt, it is an equal part of the time left, but at
// least three times what 99 of a hundred answers take, five quarters of the longest,
// and 10 ms; if that leaves no time for another answer, the attempt keeps all the
// time.
func (a Attempt) Until(ctx context.Context, addr string, now time.Time) time.Time {
	if a.others == 0 || a.retrier.budget.low.Load() || !a.retrier.pool.Available(1, addr, a.spent) {
		return time.Time{}
	}
	return a.method.until(ctx, now, a.others)
}

// Run makes a call: it calls try, once for each attempt, until one ends the call
// or no other is allowed, and returns the value and the error of the last one.
// It allocates nothing unless an attempt fails. A panic in try passes through.
func Run[T any](ctx context.Context, r *Retrier, c Call, try func(context.Context, Attempt) (T, Result, error)) (T, error) {
	o := run(ctx, c, Attempt{retrier: r}, try)
	return o.value, o.err
}

// errNotAsked is the error of a call whose first attempt found no server that it
// may ask: the second of two hedged calls, when no other server is available.
var errNotAsked = errors.New("retry: no server was asked")

// outcome is what an attempt returned.
type outcome[T any] struct {
	value  T
	result Result
	err    error
}

func (o outcome[T]) discard() {
	if o.result.Discard != nil {
		o.result.Discard()
	}
}

func run[T any](ctx context.Context, c Call, a Attempt, try func(context.Context, Attempt) (T, Result, error)) outcome[T] {
	last := outcome[T]{result: Result{Verdict: VerdictNoServer}, err: errNotAsked}
	a.method = a.retrier.timeouts.of(c.Method)
	var late time.Duration // the longest attempt that was given up
	var watching []Observer
	if observing.Load() {
		watching = a.retrier.watching(ctx)
	}
	for attempts, stale := 0, 0; ; {
		if c.Repeatable {
			a.others = max(0, c.Attempts-attempts-1)
		}
		var v T
		var res Result
		var err error
		if watching == nil {
			v, res, err = try(ctx, a)
		} else {
			v, res, err = observe(ctx, watching, a, Info{Name: c.Name, Request: c.Request, Number: attempts + stale + 1, Hedged: a.hedged}, try)
		}
		if res.Verdict == VerdictNoServer && err == nil {
			a.method.lost(late)
			return last
		}
		if attempts > 0 && res.Endpoint != "" {
			a.retrier.pool.Repeated(res.Endpoint)
		}
		last.discard()
		last = outcome[T]{v, res, err}
		a.Err = err
		switch {
		case res.Took <= 0:
		case res.Verdict == VerdictDone:
			a.method.answered(res.Took)
		case res.Verdict == VerdictFailed && ctx.Err() == nil:
			late = max(late, res.Took)
		default:
		}
		if res.Verdict == VerdictStale && stale < maxStale {
			stale++ // if the context is done, the next attempt says so
			continue
		}
		switch res.Verdict {
		case VerdictOverload:
			a.spent, a.barred = append(a.spent, res.Endpoint), append(a.barred, res.Endpoint)
		case VerdictFailed:
			a.spent = append(a.spent, res.Endpoint)
		default:
		}
		if attempts++; attempts >= c.Attempts || !a.allowed(ctx, c, res.Verdict) {
			if err != nil && (res.Verdict != VerdictDone || res.Took <= 0) {
				a.method.lost(late)
			}
			return last
		}
		a.Excluded = append(a.Excluded, res.Endpoint)
	}
}
