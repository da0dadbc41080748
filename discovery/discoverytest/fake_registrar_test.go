package discoverytest

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

const fakeTTL = 200 * time.Millisecond

// fakeRegistry is a registry in memory whose entries belong to sessions. It
// can be cut off, silenced and tampered with.
type fakeRegistry struct {
	register registerFunc

	mu       sync.Mutex
	entries  map[string]fakeEntry
	sessions int
	links    int // how often connections were broken
	trouble  error
	hung     bool
	changed  chan struct{} // closed and replaced by each change of the above
}

type fakeEntry struct {
	e       core.Endpoint
	session int // 0 for an entry that is nobody's and stays for ever
}

// registerFunc is the Register of a registrar under test.
type registerFunc func(ctx context.Context, p *fakeRegistry, e core.Endpoint) error

var (
	_ Cutter  = (*fakeRegistry)(nil)
	_ Hanger  = (*fakeRegistry)(nil)
	_ Expirer = (*fakeRegistry)(nil)
	_ Deleter = (*fakeRegistry)(nil)
	_ Leaver  = (*fakeRegistry)(nil)
	_ breaker = (*fakeRegistry)(nil)
)

func newFakeRegistry(r registerFunc) *fakeRegistry {
	return &fakeRegistry{register: r, entries: make(map[string]fakeEntry), changed: make(chan struct{})}
}

// change runs f and tells those that wait.
func (p *fakeRegistry) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}

// request runs f, as soon as the registry answers.
func (p *fakeRegistry) request(ctx context.Context, f func()) error {
	for {
		p.mu.Lock()
		trouble, hung, changed := p.trouble, p.hung, p.changed
		p.mu.Unlock()
		switch {
		case trouble != nil:
			return trouble
		case !hung:
			p.change(f)
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *fakeRegistry) session() (id int) {
	p.change(func() { p.sessions++; id = p.sessions })
	return id
}

func (p *fakeRegistry) put(ctx context.Context, e core.Endpoint, session int) error {
	return p.request(ctx, func() { p.entries[e.Addr] = fakeEntry{e, session} })
}

func (p *fakeRegistry) remove(ctx context.Context, addr string, session int) error {
	return p.request(ctx, func() {
		if p.entries[addr].session == session {
			delete(p.entries, addr)
		}
	})
}

// until waits until f holds, the registry is in trouble or ctx is done.
func (p *fakeRegistry) until(ctx context.Context, f func() bool) error {
	for {
		p.mu.Lock()
		ok, trouble, changed := f(), p.trouble, p.changed
		p.mu.Unlock()
		if ok || trouble != nil {
			return trouble
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// expire drops the entries of all sessions.
func (p *fakeRegistry) expire() {
	p.change(func() {
		maps.DeleteFunc(p.entries, func(_ string, e fakeEntry) bool { return e.session != 0 })
	})
}

func (p *fakeRegistry) Registrar() (discovery.Registrar, error) { return fakeRegistrar{p}, nil }

func (p *fakeRegistry) Entries(context.Context) ([]core.Endpoint, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var eps []core.Endpoint
	for _, e := range p.entries {
		eps = append(eps, e.e)
	}
	return eps, nil
}

func (p *fakeRegistry) Close() error { return nil }

func (p *fakeRegistry) Cut(context.Context) (func() error, error) {
	p.change(func() { p.trouble = errLost })
	ttl := time.AfterFunc(fakeTTL, p.expire)
	return func() error {
		ttl.Stop()
		p.change(func() { p.trouble = nil })
		return nil
	}, nil
}

func (p *fakeRegistry) Hang(context.Context) (func() error, error) {
	p.change(func() { p.hung = true })
	return func() error {
		p.change(func() { p.hung = false })
		return nil
	}, nil
}

func (p *fakeRegistry) breakLinks() { p.change(func() { p.links++ }) }

func (p *fakeRegistry) Expire(context.Context) error {
	p.expire()
	return nil
}

func (p *fakeRegistry) Delete(_ context.Context, addr string) error {
	p.change(func() { delete(p.entries, addr) })
	return nil
}

func (p *fakeRegistry) Leave(ctx context.Context, e core.Endpoint) (func() error, error) {
	dead := p.session()
	die := func() error { return p.remove(context.Background(), e.Addr, dead) }
	return die, p.put(ctx, e, dead)
}

type fakeRegistrar struct{ p *fakeRegistry }

func (r fakeRegistrar) Register(ctx context.Context, e core.Endpoint) error {
	return r.p.register(ctx, r.p, e)
}

// goodRegister is a Register that keeps the contract.
func goodRegister(ctx context.Context, p *fakeRegistry, e core.Endpoint) error {
	session := p.session()
	var err error
	for err == nil {
		if err = p.put(ctx, e, session); err == nil {
			discovery.Confirm(ctx)
			err = p.until(ctx, func() bool { return p.entries[e.Addr].session != session })
		}
	}
	if ctx.Err() == nil {
		return err
	}
	return withdraw(ctx, p, e, session)
}

func withdraw(ctx context.Context, p *fakeRegistry, e core.Endpoint, session int) error {
	removal, cancel := context.WithTimeout(context.WithoutCancel(ctx), discovery.DeregisterTimeout)
	defer cancel()
	if err := p.remove(removal, e.Addr, session); err != nil {
		return errors.Join(errors.New("the entry may still be there"), err)
	}
	return ctx.Err()
}
