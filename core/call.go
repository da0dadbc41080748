package core

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"syscall"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
	"github.com/minicaptain/multi_connection_pool/internal/callee"
	"github.com/minicaptain/multi_connection_pool/retry"
)

// Do leases a connection, calls fn with it, reports the outcome and the time fn
// took to the balancer, and ends the lease as [Lease.End] does with the error of
// fn. The connection is closed if fn panics. Do returns the error of fn, or that
// of the lease. fn must not keep the connection. With [Attempts] it may be called
// several times, one after the other; the context that it gets ends when the server
// should have answered, while the call can still be repeated: see
// retry.Attempt.Until.
func (p *Pool[C]) Do(ctx context.Context, fn func(context.Context, C) error, opts ...CallOption) error {
	plan := planOf(opts)
	if plan.hedged {
		return errHedgedDo
	}
	plan.nameMethod(callee.Of(&fn))
	return p.do(ctx, plan, opts, fn)
}

func (p *Pool[C]) do(ctx context.Context, plan plan, opts []CallOption, fn func(context.Context, C) error) error {
	// What is here keeps fn, and what it refers to, off the heap.
	if plan.attempts > 1 || p.of().retrier.Observed(ctx) {
		_, err := retry.Run(ctx, p.of().retrier, plan.call(opts), func(ctx context.Context, a retry.Attempt) (struct{}, retry.Result, error) {
			res, err := p.attempt(ctx, a, plan, opts, fn)
			return struct{}{}, res, err
		})
		return err
	}
	l, err := p.Get(ctx, opts...)
	if err != nil {
		return err
	}
	_, err = l.call(ctx, fn)
	return err
}

var errHedgedDo = errors.New("core: Do cannot be Hedged: two functions without a result would race for where they leave it; use Call")

// Call is [Pool.Do] for a function with a result: it returns the value of fn
// that counts, together with its error. With [Hedged] it may call fn twice at the
// same time.
func Call[C io.Closer, T any](ctx context.Context, p *Pool[C], fn func(context.Context, C) (T, error), opts ...CallOption) (T, error) {
	plan := planOf(opts)
	plan.nameMethod(callee.Of(&fn))
	if !plan.hedged {
		var value T
		err := p.do(ctx, plan, opts, func(ctx context.Context, c C) (err error) {
			value, err = fn(ctx, c)
			return err
		})
		return value, err
	}
	return retry.RunHedged(ctx, p.of().retrier, plan.call(opts), func(ctx context.Context, a retry.Attempt) (value T, res retry.Result, err error) {
		res, err = p.attempt(ctx, a, plan, opts, func(ctx context.Context, c C) (err error) {
			value, err = fn(ctx, c)
			return err
		})
		return value, res, err
	})
}

// call calls fn with the connection, ends the lease, and returns what it reports.
func (l Lease[C]) call(ctx context.Context, fn func(context.Context, C) error) (balance.Report, error) {
	ended := false
	defer func() {
		if !ended { // fn panicked, or ended its goroutine
			_ = l.Discard(nil)
		}
	}()
	s := subpoolOf(l.slot)
	begun := s.pool.now()
	err := fn(ctx, l.Conn())
	ended = true
	r, _ := end(s, l.slot, l.gen, begun, err) // fn may have ended it
	return r, err
}

// attempt makes one attempt of a call that may be made several times.
func (p *Pool[C]) attempt(
	ctx context.Context, a retry.Attempt, plan plan, opts []CallOption, fn func(context.Context, C) error,
) (retry.Result, error) {
	for _, addr := range a.Excluded {
		opts = append(slices.Clip(opts), WithoutEndpoint(addr))
	}
	l, err := p.Get(ctx, opts...)
	if err != nil {
		if a.Err != nil {
			err = errors.Join(a.Err, err)
		}
		return retry.Result{Verdict: retry.VerdictNoServer}, err
	}
	res := retry.Result{Endpoint: l.Endpoint().Addr}
	if !a.Leased(res.Endpoint) && !plan.named {
		_ = l.Release()
		return retry.Result{Verdict: retry.VerdictNoServer}, nil
	}
	if until := a.Until(ctx, res.Endpoint, time.Now()); !until.IsZero() && !plan.named {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, until, errLate)
		defer cancel()
	}
	r, err := l.call(ctx, fn)
	res.Outcome = r.Outcome
	switch r.Outcome {
	case balance.OutcomeOK:
		res.Took = r.Latency
	case balance.OutcomeFailure:
		res.Verdict, res.Took = retry.VerdictFailed, r.Latency
	default:
	}
	return res, err
}

// errLate is why the context of an attempt ended before that of its call.
var errLate = errors.New("core: the server has not answered in the time that one attempt may take")

// Answered marks err, which may be nil, as one with which the server answered,
// such as "no such user": it is no fault of the server's, and the connection is
// in order. Do and [Lease.End] count it as balance.OutcomeOK, whatever the
// classifier says. The error reads and matches as before.
func Answered(err error) error {
	if err == nil {
		return nil
	}
	return &answered{err}
}

type answered struct{ error }

func (a *answered) Unwrap() error { return a.error }

func isAnswered(err error) bool {
	return err != nil && errors.As(err, new(*answered))
}

// classify asks the classifier about the call of a lease.
func (p *pool) classify(sl *slots.Slot, gen uint64, err error) (o balance.Outcome) {
	returned := false
	defer func() {
		switch {
		case returned:
		case recover() != nil:
			o = balance.OutcomeFailure
		default: // it ends its goroutine, and nobody else would end the lease
			_ = discard(sl, gen, err)
		}
	}()
	if o = balance.OutcomeOK; !isAnswered(err) {
		o = p.cfg.classify(err)
	}
	returned = true
	return o
}

// Classify is the classifier of a pool whose dialer has none of its own. It is
// for classifiers that know more kinds of errors, and leave the others to it:
//
//   - nil, and errors marked by [Answered], are OutcomeOK;
//   - context.Canceled is OutcomeCanceled;
//   - errors that connections return are OutcomeFailure: timeouts, among them
//     context.DeadlineExceeded, io.EOF and io.ErrUnexpectedEOF, closed
//     connections, and the errors of package net and of system calls;
//   - any other error, such as the application's own, is OutcomeNeutral.
func Classify(err error) balance.Outcome {
	switch {
	case err == nil, isAnswered(err):
		return balance.OutcomeOK
	case errors.Is(err, context.Canceled):
		return balance.OutcomeCanceled
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, io.ErrClosedPipe), errors.Is(err, net.ErrClosed),
		errors.As(err, new(net.Error)), errors.As(err, new(syscall.Errno)):
		return balance.OutcomeFailure
	default:
		return balance.OutcomeNeutral
	}
}

// brokenByPeer reports whether err is what a connection says whose peer is gone.
func brokenByPeer(err error) bool {
	return err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) &&
		(errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
			errors.Is(err, syscall.EPIPE)) && !errors.Is(err, net.ErrClosed)
}
