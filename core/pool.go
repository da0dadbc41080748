// Package core keeps one pool of live connections per server of a fleet whose
// members come and go, and leases each call a connection to the server that is
// best placed to answer it.
//
//	pool, err := core.New(watcher, dialer, core.MaxActive(64))
//	err = pool.Do(ctx, func(ctx context.Context, c *Conn) error { return c.Call(ctx) })
//
// The set of servers streams in through a [Watcher]; connections are opened by
// a [Dialer]. [Pool.Do] is the way most callers take, and [Call] for a function
// with a result: they lease, measure, classify and release. [Pool.Get] returns
// the [Lease] itself, and [Lease.End] does the rest.
//
// The package depends on the standard library and on the leaf packages of this
// module: discovery (where servers come from), balance (which one a call goes
// to), outlier (which ones get no calls) and retry (what is made again).
package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/internal/ctxerr"
	"github.com/minicaptain/multi_connection_pool/retry"
)

// Endpoint is one server; see [discovery.Endpoint].
type Endpoint = discovery.Endpoint

// Watcher streams the set of servers; see [discovery.Watcher].
type Watcher = discovery.Watcher

// Pool is a pool of pools. Its methods are safe for concurrent use. Make one
// with [New]. The zero Pool is closed.
type Pool[C io.Closer] struct{ p *pool }

// of returns the pool, for a zero Pool one that is closed.
func (p *Pool[C]) of() *pool {
	if p.p == nil {
		return closedPool()
	}
	return p.p
}

// closedPool returns the pool that zero Pools have.
//
//nolint:gochecknoglobals // it is made once, and holds nothing
var closedPool = sync.OnceValue(func() *pool {
	cfg := defaults()
	cfg.adopt(nil)
	p := unstarted(cfg)
	p.stop = func() {}
	p.tasks.Add(1)
	_ = p.close(context.Background()) // it has nothing to wait for
	return p
})

// New makes a pool of the servers that w names, with connections from d. It
// connects to nothing: servers and connections come later, and [Pool.WaitReady] waits
// for them. The error names every mistake in the parameters. The pool must be
// closed.
func New[C io.Closer](w Watcher, d Dialer[C], opts ...Option) (*Pool[C], error) {
	cfg := defaults()
	errs := []error{cfg.apply(opts), usable("watcher", w), usable("dialer", d)}
	cfg.adopt(d)
	errs = append(errs, cfg.validate())
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	p := unstarted(cfg)
	p.dial = func(ctx context.Context, e Endpoint) (io.Closer, error) { return d.Dial(ctx, e) }
	if r, ok := d.(interface {
		Reset(ctx context.Context, c C) error
	}); ok && cfg.share == 1 {
		p.reset = func(ctx context.Context, value io.Closer) error {
			c, _ := value.(C)
			return r.Reset(ctx, c)
		}
	}
	if s, ok := w.(interface{ String() string }); ok {
		p.place = s.String()
	}
	p.start(w)
	return &Pool[C]{p}, nil
}

// unstarted returns a pool that watches nothing yet.
func unstarted(cfg config) *pool {
	p := &pool{
		cfg: cfg, epoch: time.Now(), undialed: undialed(cfg.share), changed: make(chan struct{}),
		resized: make(chan struct{}, 1), cut: make(chan struct{}), done: make(chan struct{}),
	}
	p.retrier = retry.New(retryView{p})
	p.always.Store(1)
	p.adjust(cfg.settings)
	p.view.Store(&snapshot{state: StatePending, since: p.epoch})
	return p
}

// isNil reports whether v is nil, or a nil pointer or the like as an interface.
func isNil(v any) bool {
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Func, reflect.Chan, reflect.Interface:
		return r.IsNil()
	default:
		return false
	}
}

// usable checks a parameter of New that is an interface.
func usable(what string, v any) error {
	if isNil(v) {
		example := `static.Watcher("10.0.0.1:9090")`
		if what == "dialer" {
			example = "thriftpool.Dial(thriftpool.Config{}), netpool.Dial(netpool.Config{}) or a core.DialFunc"
		}
		return fmt.Errorf("core: the %s is nil: pass one, such as %s", what, example)
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
// Get fails at once with [ErrNoEndpoint] when the set is known to be empty and
// with [ErrUnavailable] when no endpoint can be dialed and none has a
// connection that could come back: after a failed dial an endpoint backs off
// for 50 ms at least, also if it is the only one. [Pool.WaitReady] waits for
// the end of that. The error is an [*Error].
func (p *Pool[C]) Get(ctx context.Context, opts ...CallOption) (Lease[C], error) {
	sl, gen, err := p.p.get(ctx, opts) // one call, so that Get itself is inlined
	return Lease[C]{sl, gen}, err
}

// Ready reports whether an endpoint is known that is neither down nor ejected:
// whether a call made now would find one to go to. It does not wait.
func (p *Pool[C]) Ready() bool { return p.of().view.Load().available(1, "", nil) }

// Len returns the number of endpoints in the set, including those that are down
// or ejected.
func (p *Pool[C]) Len() int { return len(p.of().view.Load().subs) }

// available reports whether at least n endpoints are neither down nor ejected, addr and
// those of aside not counted. As a rule it looks at no more than n.
func (v *snapshot) available(n int, addr string, aside []string) bool {
	for _, s := range v.subs {
		if n == 0 {
			break
		}
		if !s.Unavailable() && s.addr() != addr && !slices.Contains(aside, s.addr()) {
			n--
		}
	}
	return n <= 0
}

// WaitReady waits until a connection could be leased, or ctx is done. Then the
// error is the [*Error] of the last attempt: it matches ctx's own error and
// says how long WaitReady waited, and, if no set of servers is known, which command
// finds the cause ([discovery.Doctor]).
func (p *Pool[C]) WaitReady(ctx context.Context) error {
	begun := p.of().now()
	for {
		changed := p.of().awaitChange()
		l, err := p.Get(ctx)
		if err == nil {
			l.slot.Flag(slots.Timed)           // the next lease has this one's number, not its time
			subpoolOf(l.slot).giveBack(l.slot) // unused: not a call
			return nil
		}
		if errors.Is(err, ErrClosed) {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			var e *Error
			if errors.As(err, &e) {
				e.Waited, e.Cause = p.p.now()-begun, ctxerr.Of(ctx)
				if e.LastWatch != nil || errors.Is(e.Kind, ErrNoEndpoint) {
					e.advice = discovery.Doctor
				}
			}
			return err
		}
	}
}

// Set changes options of the running pool, all of them or none. What a lowered
// limit forbids is drained: idle connections beyond it are closed at once,
// leased ones when their lease ends, and no call loses its connection. The
// error names every option that makes no sense or that cannot change while the
// pool runs.
func (p *Pool[C]) Set(opts ...Option) error { return p.of().set(opts) }

// Reset closes every connection there is now: idle ones at once, leased ones
// when their lease ends, and one that is released in this very instant before it
// is leased again, within about a second. New ones are opened as they are needed.
func (p *Pool[C]) Reset() {
	for _, s := range p.of().view.Load().subs {
		s.shed(math.MaxInt, true)
	}
}

// Close ends the pool: calls that wait get [ErrClosed], idle connections are
// closed, leased ones when their lease ends. It returns nil when everything
// that the pool started has ended. When ctx is done before that, connections
// still leased are closed while in use, and the error says how many and what
// else has not ended. Close may be called again, and then waits again.
func (p *Pool[C]) Close(ctx context.Context) error { return p.of().close(ctx) }

// Retrier returns the pool's budget of repeated and hedged calls, for adapters
// that make calls by [retry.Run]; [Pool.Do] and [Call] use it too.
func (p *Pool[C]) Retrier() *retry.Retrier { return p.of().retrier }

// pool is everything that does not depend on the type of connection.
type pool struct {
	view  atomic.Pointer[snapshot]
	queue waitQueue

	// careful is not 0 when an option asks for more than the bare lease.
	careful atomic.Uint64
	// always and never are what snapshot.special may be: 1 and 0.
	always, never atomic.Int64
	// reported is set by each report of a call and cleared by each tick.
	reported atomic.Bool
	current  atomic.Pointer[settings]
	cfg      config // as New has it; settings are those of the beginning
	epoch    time.Time
	dial     func(context.Context, Endpoint) (io.Closer, error)
	reset    func(context.Context, io.Closer) error // nil: the dialer has none
	total    atomic.Int64                           // positions taken, counted against MaxTotal
	undialed *connections                           // of sub-pools that were never dialed; never changed

	retrier                 *retry.Retrier
	latency                 latency // of all endpoints
	rejected, waits, waited atomic.Int64
	lastWatch, warning      atomic.Pointer[error]
	stalled                 atomic.Pointer[stall] // nil while the set is followed
	failing                 string                // the last EventWatchFailing since the set changed; of Follow's callbacks
	counted                 atomic.Pointer[counted]
	place                   string                 // that is watched; empty if unknown
	measured                atomic.Pointer[meters] // nil until Measure
	strays                  counters               // of calls to endpoints that left
	unserved                unserved

	mu       sync.Mutex
	draining map[*subpool]struct{} // those that left the newest snapshot and are not empty yet
	gone     totals                // what those have counted that are empty
	woken    []*subpool            // listed, and not in the janitor's list yet
	changed  chan struct{}         // closed and replaced when a failed Get may go better
	closing  bool

	setMu   sync.Mutex // one Set at a time
	resized chan struct{}

	stop  context.CancelFunc // ends the watch and the janitor
	loops sync.WaitGroup     // the watch and the janitor
	tasks sync.WaitGroup     // dials, closes, checks, drains; and the pool itself until it is drained
	cut   chan struct{}      // closed when the time to drain is over
	done  chan struct{}      // closed when all has ended
}

func (p *pool) settings() *settings { return p.current.Load() }

// retryView is the pool as package retry sees it.
type retryView struct{ p *pool }

func (v retryView) Now() time.Duration     { return v.p.now() }
func (v retryView) Latency() time.Duration { return v.p.latency.average() }

// Available implements [retry.Pool].
func (v retryView) Available(n int, addr string, aside []string) bool {
	return v.p.view.Load().available(n, addr, aside)
}

// start begins the watch and the janitor. close stops both and waits for them.
func (p *pool) start(w Watcher) {
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	p.tasks.Add(1)
	p.loops.Go(func() {
		discovery.Follow(ctx, w, p.follower())
	})
	p.loops.Go(func() { (&janitor{p: p}).run(ctx) })
}

// set is Set.
func (p *pool) set(opts []Option) error {
	idle, err := p.resize(opts)
	if err != nil {
		return err
	}
	for _, sl := range idle { // observers hear of it, and may call Set
		subpoolOf(sl).retire(sl, nil)
	}
	select {
	case p.resized <- struct{}{}:
	default: // the janitor has yet to see the last Set
	}
	p.queue.wakeAll() // there may be room
	return nil
}

// resize is set without the end: it returns the slots that the caller must
// retire.
func (p *pool) resize(opts []Option) (idle []*slots.Slot, _ error) {
	p.setMu.Lock()
	defer p.setMu.Unlock()
	next := config{settings: *p.settings()}
	err := next.apply(opts)
	for _, name := range next.fixed {
		err = errors.Join(err, fmt.Errorf("core: Set: %s cannot change while the pool runs: make another pool", name))
	}
	if err = errors.Join(err, next.settings.validate()); err != nil {
		return nil, err
	}
	p.adjust(next.settings)
	v := p.view.Load()
	for _, s := range v.subs {
		idle = s.resize(idle)
	}
	if next.maxTotal > 0 {
		surplus := -next.maxTotal
		for _, s := range v.subs {
			surplus += s.keeps()
		}
		for _, leased := range []bool{false, true} {
			for _, s := range v.subs {
				var found int
				idle, found = s.surplus(idle, surplus, leased)
				surplus -= found
			}
		}
	}
	return idle, nil
}

// adjust makes s the settings.
func (p *pool) adjust(s settings) {
	p.current.Store(&s)
	if s.validateAfterIdle == 0 || s.minIdle > 0 || s.leakThreshold > 0 {
		p.careful.Store(1)
	} else {
		p.careful.Store(0)
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
