package core

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"
)

// Hedged makes a call as [Pool.Do] does and returns the value of fn. If that
// is late, fn is called a second time, with a connection to another server; the
// first that does not end as [Failure] counts, and the context of the other is
// cancelled. It is for calls that may be executed twice, and for fn that may
// run twice at the same time.
//
// Late is later than 95 of a hundred such calls of this pool, and than twice
// their median. Two calls of a hundred are made twice at most, none while the
// pool knows too little, or has more calls in flight than usual: what is late
// for want of capacity is not made faster by more calls. Hedged may return
// while the other fn still runs; [Pool.Close] waits for its lease.
func Hedged[C io.Closer, T any](ctx context.Context, p *Pool[C], fn func(context.Context, C) (T, error), opts ...CallOption) (T, error) {
	return HedgedCall(ctx, p, func(ctx context.Context, leased func(addr string), opts ...CallOption) (value T, err error) {
		err = p.do(ctx, func(ctx context.Context, c C) (err error) {
			value, err = fn(ctx, c)
			return err
		}, opts, leased)
		return value, err
	}, opts...)
}

// HedgedCall is [Hedged] for adapters, which lease by themselves: call makes
// the whole call, with retries where it makes them, and is what may run twice.
// It passes opts to [Pool.Get] and tells leased the address that it got.
func HedgedCall[C io.Closer, T any](
	ctx context.Context, p *Pool[C], call func(ctx context.Context, leased func(addr string), opts ...CallOption) (T, error), opts ...CallOption,
) (T, error) {
	var none T
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h := hedging[T]{p: p.p, call: call, ended: make(chan attempt[T], 2), leased: make(chan string, 1)}
	go h.try(ctx, opts, h.leased) // ends with its lease, which the pool waits for
	var late <-chan time.Time
	named := func(o CallOption) bool { return o.kind == on }
	if d, ok := p.p.hedge.Delay(); ok && !slices.ContainsFunc(opts, named) {
		t := time.NewTimer(d)
		defer t.Stop()
		late = t.C
	}
	for running := 1; ; {
		select {
		case a := <-h.ended:
			running--
			if a.panicked != nil {
				panic(a.panicked)
			}
			if a.err == nil || running == 0 || p.Classify(a.err) != Failure {
				return a.value, a.err
			}
		case <-late:
			late = nil
			select {
			case addr := <-h.leased:
				if len(p.p.view.Load().subs) > 1 && p.p.hedge.Take() {
					running++
					go h.try(ctx, append(slices.Clip(opts), Avoid(addr)), nil) // as above
				}
			default: // it waits for a connection: another call would too
			}
		case <-ctx.Done():
			return none, ctx.Err()
		}
	}
}

// hedging is one call of Hedged.
type hedging[T any] struct {
	p      *pool
	call   func(ctx context.Context, leased func(addr string), opts ...CallOption) (T, error)
	ended  chan attempt[T]
	leased chan string
}

type attempt[T any] struct {
	value    T
	err      error
	panicked any
}

// try makes one of the calls. It tells leased of the first server, if anybody
// wants to know.
func (h *hedging[T]) try(ctx context.Context, opts []CallOption, leased chan<- string) {
	a := attempt[T]{err: errEnded}
	defer func() {
		if v := recover(); v != nil {
			buf := make([]byte, 64<<10)
			a.panicked = fmt.Sprintf("%v [in a call of Hedged]\n%s", v, buf[:runtime.Stack(buf, false)])
		}
		h.ended <- a
	}()
	begun := h.p.Now()
	a.value, a.err = h.call(ctx, func(addr string) {
		select {
		case leased <- addr:
		default: // told already, or nobody wants to know
		}
	}, opts...)
	if a.err == nil {
		h.p.hedge.Record(h.p.Now() - begun)
	}
}
