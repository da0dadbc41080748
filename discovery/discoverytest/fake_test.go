package discoverytest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

// watchFunc is the Watch of a watcher under test, at a place.
type watchFunc func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error

// fakePlace is a registry in memory that can be cut off and silenced.
type fakePlace struct {
	list  static.List
	watch watchFunc

	mu      sync.Mutex
	cut     chan struct{} // closed while connections are refused
	answers chan struct{} // closed while the registry answers
	denied  bool          // the watchers may not read

	requests atomic.Int64 // of watchers
	watches  atomic.Int64 // that the registry holds

	// For broken watchers:
	busy                                sync.Mutex // Put needs it
	invalid                             error      // of Validate
	shared                              scratch
	beside                              []core.Endpoint // in the place next to this one
	spoilt, compacted, expired, removed atomic.Bool     // what has happened here
}

// scratch is what watches of one place should not have in common.
type scratch struct {
	mu    sync.Mutex
	set   []core.Endpoint
	slice []core.Endpoint
	used  bool
	ends  []context.CancelFunc
}

var (
	_ Cutter       = (*fakePlace)(nil)
	_ Hanger       = (*fakePlace)(nil)
	_ Expirer      = (*fakePlace)(nil)
	_ Compacter    = (*fakePlace)(nil)
	_ Remover      = (*fakePlace)(nil)
	_ Revoker      = (*fakePlace)(nil)
	_ Spoiler      = (*fakePlace)(nil)
	_ Neighbour    = (*fakePlace)(nil)
	_ Counter      = (*fakePlace)(nil)
	_ WatchCounter = (*fakePlace)(nil)
)

func newFakePlace(w watchFunc) *fakePlace {
	p := &fakePlace{watch: w, cut: make(chan struct{}), answers: make(chan struct{})}
	close(p.answers)
	return p
}

func (p *fakePlace) Watcher() (core.Watcher, error) { return fakeWatcher{p}, nil }

func (p *fakePlace) Put(_ context.Context, eps []core.Endpoint) error {
	p.busy.Lock()
	defer p.busy.Unlock()
	return p.list.Set(eps...)
}

func (p *fakePlace) Close() error { return nil }

func (p *fakePlace) Cut(context.Context) (func() error, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.cut)
	return func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.cut = make(chan struct{})
		return nil
	}, nil
}

func (p *fakePlace) Hang(context.Context) (func() error, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	answers := make(chan struct{})
	p.answers = answers
	return func() error { close(answers); return nil }, nil
}

// breakLinks ends all connections; new ones can be made.
func (p *fakePlace) breakLinks() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.cut)
	p.cut = make(chan struct{})
}

func (p *fakePlace) Expire(context.Context) error {
	p.expired.Store(true)
	p.breakLinks()
	return nil
}

func (p *fakePlace) Compact(context.Context) error {
	p.compacted.Store(true)
	return nil
}

func (p *fakePlace) Remove(context.Context) error {
	p.removed.Store(true)
	return p.list.Set()
}

func (p *fakePlace) deny(yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.denied = yes
}

func (p *fakePlace) Revoke(context.Context) (func() error, error) {
	p.deny(true)
	p.breakLinks()
	return func() error { p.deny(false); return nil }, nil
}

func (p *fakePlace) Spoil(context.Context) error {
	p.spoilt.Store(true)
	return nil
}

func (p *fakePlace) PutBeside(_ context.Context, eps []core.Endpoint) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.beside = eps
	return nil
}

func (p *fakePlace) Requests() int { return int(p.requests.Load()) }

func (p *fakePlace) Watches(context.Context) (int, error) { return int(p.watches.Load()), nil }

// refuses reports whether connections are refused now.
func (p *fakePlace) refuses() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.cut:
		return true
	default:
		return false
	}
}

// denies reports whether watchers may not read now.
func (p *fakePlace) denies() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.denied
}

type fakeWatcher struct{ p *fakePlace }

func (w fakeWatcher) Watch(ctx context.Context, report func([]core.Endpoint)) error {
	return w.p.watch(ctx, w.p, report)
}

func (w fakeWatcher) Validate() error { return w.p.invalid }

var (
	errLost   = errors.New("connection lost")
	errDenied = errors.New("permission denied")
)

// good is a Watch that keeps the contract.
func good(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
	p.mu.Lock()
	cut, answers := p.cut, p.answers
	p.mu.Unlock()

	select {
	case <-answers:
	case <-ctx.Done():
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-cut:
		return errLost
	default:
	}
	if p.denies() {
		return errDenied
	}
	p.requests.Add(1)
	p.watches.Add(1)
	defer p.watches.Add(-1)
	connected, cancel := context.WithCancel(ctx)
	var link sync.WaitGroup
	link.Go(func() {
		select {
		case <-cut:
			cancel()
		case <-connected.Done():
		}
	})
	_ = p.list.Watch(connected, report)
	cancel()
	link.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	return errLost
}
