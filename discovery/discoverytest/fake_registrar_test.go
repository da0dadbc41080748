package discoverytest

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/memo"
)

const fakeTTL = 200 * time.Millisecond

// fakeRegistry is a registry in memory whose entries belong to sessions.
type fakeRegistry struct {
	register registerFunc
	memo     memo.Memo[fakeMemo] // of goodRegister

	mu       sync.Mutex
	entries  map[string]fakeEntry
	sessions int
	links    int // how often connections have broken
	outage   error
	hung     bool          // requests wait
	changed  chan struct{} // closed and replaced by each change of the above
}

type fakeEntry struct {
	e       discovery.Endpoint
	session int // 0 for an entry that belongs to no session and never expires
}

// registerFunc is the Register of a registrar under test.
type registerFunc func(ctx context.Context, p *fakeRegistry, e discovery.Endpoint, registered func()) error

func newFakeRegistry(r registerFunc) *fakeRegistry {
	return &fakeRegistry{register: r, entries: make(map[string]fakeEntry), changed: make(chan struct{})}
}

// change runs f and wakes all that wait for a change.
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
		outage, hung, changed := p.outage, p.hung, p.changed
		p.mu.Unlock()
		rival := ctx.Value(rivalKey{}) != nil
		switch {
		case outage != nil && !rival:
			return outage
		case !hung || rival:
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

func (p *fakeRegistry) put(ctx context.Context, e discovery.Endpoint, session int) error {
	return p.request(ctx, func() { p.entries[e.Addr] = fakeEntry{e, session} })
}

func (p *fakeRegistry) remove(ctx context.Context, addr string, session int) error {
	return p.request(ctx, func() {
		if p.entries[addr].session == session {
			delete(p.entries, addr)
		}
	})
}

// until waits until f returns true, there is an outage, the registry has not
// answered for fakeTTL, or ctx is done.
func (p *fakeRegistry) until(ctx context.Context, f func() bool) error {
	var lapse <-chan time.Time
	for {
		p.mu.Lock()
		ok, outage, hung, changed := f(), p.outage, p.hung, p.changed
		p.mu.Unlock()
		if outage != nil && ctx.Value(rivalKey{}) == nil {
			return outage
		}
		if ok {
			return nil
		}
		switch {
		case !hung:
			lapse = nil
		case lapse == nil:
			t := time.NewTimer(fakeTTL)
			defer t.Stop()
			lapse = t.C
		}
		select {
		case <-changed:
		case <-lapse:
			return errLost
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// expire removes the entries of all sessions.
func (p *fakeRegistry) expire() {
	p.change(func() {
		maps.DeleteFunc(p.entries, func(_ string, e fakeEntry) bool { return e.session != 0 })
	})
}

// fixture returns a fixture of the registry with all that RunRegistrar can use.
func (p *fakeRegistry) fixture() Fixture {
	return Fixture{
		Registrar:      func() (discovery.Registrar, error) { return fakeRegistrar{p}, nil },
		Entries:        p.list,
		Close:          func() error { return nil },
		Cut:            p.cut,
		Hang:           p.hang,
		Break:          func(context.Context) error { p.change(func() { p.links++ }); return nil },
		ExpireSessions: func(context.Context) error { p.expire(); return nil },
		DeleteEntry:    p.deleteEntry,
		PutOrphan:      p.putOrphan,
		Rival:          func() (discovery.Registrar, error) { return fakeRival{fakeRegistrar{p}}, nil },
		LostWithin:     fakeTTL,
		TTL:            fakeTTL,
	}
}

func (p *fakeRegistry) list(context.Context) ([]discovery.Endpoint, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var set []discovery.Endpoint
	for _, e := range p.entries {
		set = append(set, e.e)
	}
	return set, nil
}

func (p *fakeRegistry) cut(context.Context) (func() error, error) {
	p.change(func() { p.outage = errLost })
	ttl := time.AfterFunc(fakeTTL, p.expire)
	return func() error {
		ttl.Stop()
		p.change(func() { p.outage = nil })
		return nil
	}, nil
}

func (p *fakeRegistry) hang(context.Context) (func() error, error) {
	p.change(func() { p.hung = true })
	return func() error {
		p.change(func() { p.hung = false })
		return nil
	}, nil
}

func (p *fakeRegistry) deleteEntry(_ context.Context, addr string) error {
	p.change(func() { delete(p.entries, addr) })
	return nil
}

func (p *fakeRegistry) putOrphan(ctx context.Context, e discovery.Endpoint) (func() error, error) {
	crashed := p.session()
	expire := func() error { return p.remove(context.Background(), e.Addr, crashed) }
	return expire, p.put(ctx, e, crashed)
}

type fakeRegistrar struct{ p *fakeRegistry }

func (r fakeRegistrar) Register(ctx context.Context, e discovery.Endpoint, registered func()) error {
	return r.p.register(ctx, r.p, e, registered)
}

// fakeRival is a registrar that no outage affects.
type fakeRival struct{ fakeRegistrar }

type rivalKey struct{}

func (r fakeRival) Register(ctx context.Context, e discovery.Endpoint, registered func()) error {
	return r.fakeRegistrar.Register(context.WithValue(ctx, rivalKey{}, true), e, registered)
}

// fakeMemo is what goodRegister knows from the call before.
type fakeMemo struct {
	session  int
	held     bool // the registration has had the entry
	conflict bool // and has reported that another one has it
}

// goodRegister is a Register that fulfills the contract.
func goodRegister(ctx context.Context, p *fakeRegistry, e discovery.Endpoint, registered func()) error {
	m := p.memo.Take(ctx, e.Addr)
	if m.session == 0 {
		m.session = p.session()
	}
	for {
		mine := false
		err := p.request(ctx, func() {
			there, taken := p.entries[e.Addr]
			if mine = !taken || !m.held || there.session == m.session; mine {
				p.entries[e.Addr] = fakeEntry{e, m.session}
			}
		})
		if err == nil {
			switch {
			case mine:
				m.held, m.conflict = true, false
				registered()
			case !m.conflict:
				m.conflict = true
				p.memo.Leave(ctx, e.Addr, m)
				return discovery.ErrConflict
			}
			err = p.until(ctx, func() bool {
				there, taken := p.entries[e.Addr]
				return !taken || mine && there.session != m.session
			})
		}
		switch {
		case ctx.Err() != nil:
			return withdraw(ctx, p, e, m.session)
		case err != nil:
			m.conflict = false
			p.memo.Leave(ctx, e.Addr, m)
			return err
		}
	}
}

func withdraw(ctx context.Context, p *fakeRegistry, e discovery.Endpoint, session int) error {
	removal, cancel := context.WithTimeout(context.WithoutCancel(ctx), discovery.DeregisterTimeout)
	defer cancel()
	if err := p.remove(removal, e.Addr, session); err != nil {
		return errors.Join(errors.New("the entry may still be there"), err)
	}
	return ctx.Err()
}
