package retry

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
)

// Observer is notified of every attempt that a call makes, in the goroutine of the
// attempt: it must be safe for concurrent use, and a call waits for it. A panic in
// it is recovered and dropped.
//
// [Retrier.Observe] attaches one to a pool, [WithObserver] to the calls of a
// context. Without one, calls pay nothing.
type Observer interface {
	// Begin is called before an attempt, which may have to wait for a connection. It
	// returns the context of the attempt, derived from ctx; ctx itself will do.
	Begin(ctx context.Context, a Info) context.Context
	// End is called when the attempt has ended, with the context that the attempt had.
	End(ctx context.Context, a Info)
}

// Info is one attempt, as an [Observer] sees it.
type Info struct {
	// Name is what is called, as far as the caller has named it: [Call.Name].
	Name string
	// Request is that of the call, [Call.Request]: a *http.Request of httppool, which
	// must not be modified; nil of others.
	Request any
	// Number is 1 for the first attempt of a call, and one more for each that
	// follows, on a stale connection too.
	Number int
	// Hedged means that the attempt belongs to the second of two hedged calls.
	Hedged bool
	// Began is when the attempt began.
	Began time.Time

	// What follows is known at the end.

	// Endpoint is the address of the server that was asked; empty if none was.
	Endpoint string
	// Wait is how long it took to get a connection, and Latency how long the server
	// took from then on, to answer or to fail.
	Wait, Latency time.Duration
	Verdict       Verdict
	Outcome       balance.Outcome
	// Code is the number with which the server answered, such as an HTTP status; 0 if
	// the protocol has none.
	Code int
	// Err is the error of the attempt, if any. With [VerdictNoServer] and no error, no
	// other server was left to ask: the call ends as the attempt before did.
	Err error
}

// errPanicked is the error of an attempt that has not returned.
var errPanicked = errors.New("retry: the attempt panicked, or ended its goroutine")

// Observe makes o see the attempts of all calls that begin from now on.
func (r *Retrier) Observe(o Observer) {
	observing.Store(true)
	for {
		old := r.observers.Load()
		var all []Observer
		if old != nil {
			all = slices.Clone(*old)
		}
		if all = append(all, o); r.observers.CompareAndSwap(old, &all) {
			return
		}
	}
}

// observerKey is the key of the observers in a context.
type observerKey struct{}

// observing means that there is an observer in this process, for which calls must
// look: others pay for one word that never changes.
//
//nolint:gochecknoglobals // it changes once, and only makes calls look
var observing atomic.Bool

// WithObserver returns a context whose calls, of any pool, o sees beside the
// observers of the pool. [Log] is an observer that keeps what it sees.
func WithObserver(ctx context.Context, o Observer) context.Context {
	observing.Store(true)
	outer, _ := ctx.Value(observerKey{}).([]Observer)
	return context.WithValue(ctx, observerKey{}, append(slices.Clip(outer), o))
}

// Observed reports whether anybody sees the attempts of a call with this context.
func (r *Retrier) Observed(ctx context.Context) bool {
	return observing.Load() && r.watching(ctx) != nil // inlined up to here
}

// watching returns who sees the attempts of a call, those of the pool first.
func (r *Retrier) watching(ctx context.Context) (all []Observer) {
	if of := r.observers.Load(); of != nil {
		all = *of
	}
	if more, _ := ctx.Value(observerKey{}).([]Observer); more != nil {
		all = append(slices.Clip(all), more...)
	}
	return all
}

// observe is one attempt with observers.
func observe[T any](
	ctx context.Context, all []Observer, a Attempt, info Info, try func(context.Context, Attempt) (T, Result, error),
) (value T, res Result, err error) {
	info.Began = time.Now()
	a.info = &info
	for _, o := range all {
		ctx = begin(ctx, o, info)
	}
	res, err = Result{Verdict: VerdictFailed}, errPanicked
	defer func() {
		took := time.Since(info.Began)
		if res.Verdict == VerdictNoServer {
			info.Endpoint = "" // leased, perhaps, and not asked
		}
		if info.Endpoint == "" {
			info.Wait = took // in vain
		}
		info.Latency = took - info.Wait
		info.Verdict, info.Outcome, info.Code, info.Err = res.Verdict, res.Outcome, res.Code, err
		for _, o := range slices.Backward(all) {
			end(ctx, o, info)
		}
	}()
	return try(ctx, a)
}

func begin(ctx context.Context, o Observer, info Info) (inner context.Context) {
	defer func() {
		if recover() != nil || inner == nil {
			inner = ctx
		}
	}()
	return o.Begin(ctx, info)
}

func end(ctx context.Context, o Observer, info Info) {
	defer func() { _ = recover() }() // as the contract of Observer says
	o.End(ctx, info)
}

// Log is an [Observer] that keeps the attempts of one call, or of a few: which
// servers were asked, and how each answered. Its zero value is empty.
//
//	var log retry.Log
//	err := pool.Do(retry.WithObserver(ctx, &log), fn)
//	fmt.Println(log.Attempts())
type Log struct {
	mu       sync.Mutex
	attempts []Info
}

// Begin implements [Observer].
func (l *Log) Begin(ctx context.Context, _ Info) context.Context { return ctx }

// End implements [Observer].
func (l *Log) End(_ context.Context, a Info) {
	l.mu.Lock()
	l.attempts = append(l.attempts, a)
	l.mu.Unlock()
}

// Attempts returns the attempts that have ended, in that order.
func (l *Log) Attempts() []Info {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.attempts)
}

// Answered returns the address of the server that answered; empty if none has.
func (l *Log) Answered() string {
	for _, a := range slices.Backward(l.Attempts()) {
		if a.Verdict == VerdictDone && a.Err == nil {
			return a.Endpoint
		}
	}
	return ""
}
