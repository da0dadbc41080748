// Package core keeps one pool of live connections per server of a fleet whose
// members come and go, and leases each call a connection to the server that is
// best placed to answer it.
//
//	pool, err := core.New(watcher, dialer, core.MaxActive(64))
//	err = pool.Do(ctx, func(ctx context.Context, c *Conn) error { return c.Call(ctx) })
//
// The set of servers streams in through a [Watcher]; connections are opened by
// a [Dialer]. [Pool.Do] is the way most callers take: it leases, measures,
// classifies and releases. [Pool.Get] returns the [Lease] itself.
//
// The package depends on the standard library only.
package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/budget"
	"github.com/minicaptain/multi_connection_pool/core/internal/hedge"
	"github.com/minicaptain/multi_connection_pool/core/internal/subpool"
	"github.com/minicaptain/multi_connection_pool/core/internal/waitq"
	"github.com/minicaptain/multi_connection_pool/core/internal/watch"
)

// Pool is a pool of pools. Its methods are safe for concurrent use.
type Pool[C io.Closer] struct{ p *pool }

// New makes a pool of the servers that w names, with connections from d. It
// does no I/O: servers and connections come later, and [Pool.WaitReady] waits
// for them. The error names every mistake in the parameters. The pool must be
// closed.
//
// A dialer, like a watcher, may have a method Validate() error, which New
// calls once.
func New[C io.Closer](w Watcher, d Dialer[C], opts ...Option) (*Pool[C], error) {
	cfg := defaults()
	var errs []error
	for i, o := range opts {
		if o == nil {
			errs = append(errs, fmt.Errorf("core: option %d is nil", i+1))
			continue
		}
		o(&cfg)
	}
	errs = append(errs, usable("watcher", w), usable("dialer", d), cfg.validate())
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	p := &pool{
		cfg: cfg, epoch: time.Now(), leaving: map[*subpool.Sub]struct{}{}, budget: budget.New(), changed: make(chan struct{}), cut: make(chan struct{}), done: make(chan struct{}),
		dial: func(ctx context.Context, e Endpoint) (io.Closer, error) { return d.Dial(ctx, e) },
	}
	p.careful = cfg.sub.CheckAfter == 0 || cfg.sub.MinIdle > 0 || cfg.sub.LeakAfter > 0
	p.view.Store(&view{since: p.epoch})
	if b, ok := p.cfg.balancer.(*ejecting); ok {
		p.cfg.balancer = &ejecting{inner: b.inner, cfg: b.cfg, tell: p.ejected}
	}
	p.start(w)
	return &Pool[C]{p}, nil
}

// isNil reports whether v is nil, or a nil pointer or function as an interface.
func isNil(v any) bool {
	r := reflect.ValueOf(v)
	return !r.IsValid() || (r.Kind() == reflect.Pointer || r.Kind() == reflect.Func) && r.IsNil()
}

// usable checks a parameter of New that is an interface.
func usable(what string, v any) error {
	if isNil(v) {
		return fmt.Errorf("core: the %s is nil", what)
	}
	if v, ok := v.(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return fmt.Errorf("core: the %s is not valid: %w", what, err)
		}
	}
	return nil
}

// Get leases a connection, and waits for one while ctx lasts. Calls that wait
// are served in the order they came, by a release or a dial of any endpoint.
// It fails at once with [ErrNoEndpoint] when the set is known to be empty and
// with [ErrUnavailable] when no endpoint can be dialed and none has a
// connection that could come back: after a failed dial an endpoint rests for 50
// ms at least, also if it is the only one. [Pool.WaitReady] waits for the end of
// that. The error is an [*Error].
func (p *Pool[C]) Get(ctx context.Context, opts ...CallOption) (Lease[C], error) {
	sl, gen, err := p.p.get(ctx, opts) // one call, so that Get itself is inlined
	return Lease[C]{sl, gen}, err
}

// Do leases a connection, calls fn with it, tells the balancer the outcome and
// the time fn took, and ends the lease: the connection is kept if the error of
// fn is classified as [OK] or [Overload], and discarded otherwise, or if fn
// panics. Do returns the error of fn, or that of the lease. fn must not keep
// the connection. With [Retry] it may be called several times.
func (p *Pool[C]) Do(ctx context.Context, fn func(context.Context, C) error, opts ...CallOption) error {
	return p.do(ctx, fn, opts, nil)
}

// do is Do that tells leased, if it is not nil, of the first server.
func (p *Pool[C]) do(ctx context.Context, fn func(context.Context, C) error, opts []CallOption, leased func(addr string)) error {
	l, err := p.Get(ctx, opts...)
	if err != nil {
		return err
	}
	var addr string
	n := attempts(opts)
	if n > 1 || leased != nil {
		addr = l.Endpoint().Addr
	}
	if leased != nil {
		leased(addr)
	}
	class, err := p.call(ctx, fn, l)
	if class == Failure && n > 1 {
		return p.retry(ctx, fn, opts, n, addr, err)
	}
	return err
}

// call calls fn with the connection of l, reports the outcome and ends l.
func (p *Pool[C]) call(ctx context.Context, fn func(context.Context, C) error, l Lease[C]) (Class, error) {
	ended := false
	defer func() {
		if !ended { // fn panicked, or ended its goroutine
			_ = l.Discard(nil)
		}
	}()
	begun := p.p.Now()
	err := fn(ctx, l.Conn())
	now := p.p.Now()
	ended = true
	class := p.p.classify(err)
	p.p.report(serverOf(l.slot), Report{Class: class, Latency: now - begun, At: now})
	if class == OK || class == Overload {
		_ = l.Release() // stale only if fn ended the lease behind our back
	} else {
		_ = l.Discard(err)
	}
	return class, err
}

// Classify tells what err, the outcome of a call, says of the server, for
// adapters that lease by themselves.
func (p *Pool[C]) Classify(err error) Class { return p.p.classify(err) }

// WaitReady waits until a connection could be leased, or ctx is done.
func (p *Pool[C]) WaitReady(ctx context.Context) error {
	for {
		changed := p.p.awaitChange()
		l, err := p.Get(ctx)
		if err == nil {
			subpool.Of(l.slot).GiveBack(l.slot) // unused: not a call
			return nil
		}
		if ctx.Err() != nil || errors.Is(err, ErrClosed) {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return err
		}
	}
}

// Reset closes every connection there is now: idle ones at once, leased ones
// when their lease ends, and one that is released in this very instant before it
// is leased again, within about a second. New ones are opened as they are needed.
func (p *Pool[C]) Reset() {
	for _, s := range p.p.view.Load().subs {
		s.Reset()
	}
}

// Close ends the pool: calls that wait get [ErrClosed], idle connections are
// closed, leased ones when their lease ends. It returns nil when everything
// that the pool started has ended. When ctx is done before that, connections
// still leased are closed while in use, and the error says how many and what
// else has not ended. Close may be called again, and then waits again.
func (p *Pool[C]) Close(ctx context.Context) error { return p.p.close(ctx) }

// pool is everything that does not depend on the type of connection.
type pool struct {
	view  atomic.Pointer[view]
	queue waitq.Queue

	cfg config
	// careful: an option asks for more than the bare lease.
	careful bool
	epoch   time.Time
	dial    func(context.Context, Endpoint) (io.Closer, error)
	total   atomic.Int64 // connections counted against maxTotal

	budget                  *budget.Budget
	hedge                   hedge.Gate
	rejected, waits, waited atomic.Int64
	lastWatch               atomic.Pointer[error]

	mu      sync.Mutex
	leaving map[*subpool.Sub]struct{} // drained, and not empty yet
	changed chan struct{}             // closed and replaced when a failed Get may go better
	closing bool

	stop  context.CancelFunc // ends the watch and the janitor
	loops sync.WaitGroup     // the watch and the janitor
	tasks sync.WaitGroup     // dials, closes, checks, drains; and the pool itself until it is drained
	cut   chan struct{}      // closed when the time to drain is over
	done  chan struct{}      // closed when all has ended
}

// start begins the watch and the janitor. close stops both and waits for them.
func (p *pool) start(w Watcher) {
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	p.tasks.Add(1)
	loop := watch.Loop[Endpoint]{
		Watch:    w.Watch,
		Key:      func(e Endpoint) string { return e.Addr },
		Same:     same,
		Check:    Endpoint.Validate,
		Grace:    p.cfg.shrinkGrace,
		Apply:    p.apply,
		Rejected: p.reject,
		Changed:  p.watchChanged,
	}
	p.loops.Go(func() { loop.Run(ctx) })
	p.loops.Go(func() { p.janitor(ctx) })
}

// tick is the time between two ticks of the picker.
const tick = 100 * time.Millisecond

// janitor sweeps the sub-pools about once a second, more often where a time of
// the configuration is shorter than a few seconds, and lets the picker see
// time pass. close stops it.
func (p *pool) janitor(ctx context.Context) {
	every := time.Second
	for _, d := range []time.Duration{p.cfg.sub.IdleTimeout, p.cfg.sub.MaxLifetime, p.cfg.sub.HealthInterval, p.cfg.sub.LeakAfter} {
		if d > 0 {
			every = min(every, max(d/4, 10*time.Millisecond))
		}
	}
	ticks, sweeps := time.NewTicker(tick), time.NewTicker(every)
	defer ticks.Stop()
	defer sweeps.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
			p.tick()
		case <-sweeps.C:
			now := p.Now()
			for _, s := range p.view.Load().subs {
				s.Sweep(now)
			}
		}
	}
}

// awaitChange returns a channel that is closed when a Get that failed may go
// better: the set changed, a server came up, the pool was closed.
func (p *pool) awaitChange() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

func (p *pool) announce() {
	p.mu.Lock()
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
}
