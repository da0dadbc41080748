package discoverytest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// brokenRegistrar is a registrar with a mistake, and the rules that have to
// fail.
type brokenRegistrar struct {
	name     string
	register registerFunc
	caughtBy []string
	wantErr  string // part of the error of each of these rules
}

// putOnce registers and never checks the entry again.
func putOnce(ctx context.Context, p *fakeRegistry, e discovery.Endpoint, session int, registered func()) error {
	if err := p.put(ctx, e, session); err != nil {
		return err
	}
	registered()
	<-ctx.Done()
	return withdraw(ctx, p, e, session)
}

func brokenRegistrars(t *testing.T) []brokenRegistrar {
	t.Helper()
	return []brokenRegistrar{
		{
			name: "calls registered before it has registered",
			register: func(ctx context.Context, p *fakeRegistry, e discovery.Endpoint, registered func()) error {
				registered()
				if err := waitQuiet(ctx); err != nil {
					return err
				}
				return goodRegister(ctx, p, e, registered)
			},
			caughtBy: []string{"Registers"},
			wantErr:  "the registry holds {}",
		},
		{
			name: "registers the address alone",
			register: func(ctx context.Context, p *fakeRegistry, e discovery.Endpoint, registered func()) error {
				return goodRegister(ctx, p, discovery.Endpoint{Addr: e.Addr}, registered)
			},
			caughtBy: []string{"Attributes", "Again"},
			wantErr:  "the registry holds",
		},
		{
			name: "leaves removal to the registry",
			register: func(ctx context.Context, p *fakeRegistry, e discovery.Endpoint, registered func()) error {
				if err := p.put(ctx, e, p.session()); err != nil {
					return err
				}
				registered()
				<-ctx.Done()
				return ctx.Err()
			},
			caughtBy: []string{"Deregisters", "Final"},
			wantErr:  "the registry holds {10.0.0.1:9090}",
		},
		{
			name: "returns an error of its own when its context has ended",
			register: func(ctx context.Context, p *fakeRegistry, e discovery.Endpoint, registered func()) error {
				_ = goodRegister(ctx, p, e, registered)
				return errors.New("registrar: stopped")
			},
			caughtBy: []string{"Deregisters"},
			wantErr:  "does not match",
		},
		{
			name: "does not wait for a request that it has sent",
			register: func(ctx context.Context, p *fakeRegistry, e discovery.Endpoint, registered func()) error {
				session := p.session()
				done := make(chan struct{})
				go func() {
					time.Sleep(quietTime) // a slow request, slower than each round of Final
					_ = p.put(context.WithoutCancel(ctx), e, session)
					close(done)
				}()
				select {
				case <-done:
					registered()
					<-ctx.Done()
				case <-ctx.Done():
				}
				return withdraw(ctx, p, e, session)
			},
			caughtBy: []string{"Final"},
			wantErr:  "the registry holds {10.0.0.1:9090}",
		},
		{
			name: "removes all entries of its own",
			register: func(ctx context.Context, p *fakeRegistry, e discovery.Endpoint, registered func()) error {
				err := goodRegister(ctx, p, e, registered)
				_ = p.request(context.Background(), func() { clear(p.entries) })
				<-t.Context().Done() // so that the suite does not register again
				return err
			},
			caughtBy: []string{"Several"},
		},
		{
			name: "takes an existing entry for its own",
			register: func(ctx context.Context, p *fakeRegistry, e discovery.Endpoint, registered func()) error {
				p.mu.Lock()
				left, ok := p.entries[e.Addr]
				p.mu.Unlock()
				if !ok {
					return goodRegister(ctx, p, e, registered)
				}
				registered()
				<-ctx.Done()
				return withdraw(ctx, p, e, left.session)
			},
			caughtBy: []string{"TakesOver"},
			wantErr:  "the registry holds {}",
		},
		{
			name: "does not look again",
			register: func(ctx context.Context, p *fakeRegistry, e discovery.Endpoint, registered func()) error {
				return putOnce(ctx, p, e, p.session(), registered)
			},
			caughtBy: []string{"Deleted", "ExpiredRegistrar", "Outage"},
			wantErr:  "the registry holds {}",
		},
		{
			name: "removes its entry when its connection breaks",
			register: func(ctx context.Context, p *fakeRegistry, e discovery.Endpoint, registered func()) error {
				p.mu.Lock()
				links := p.links
				p.mu.Unlock()
				linked, cancel := context.WithCancel(ctx)
				defer cancel()
				go func() {
					_ = p.until(linked, func() bool { return p.links != links })
					cancel()
				}()
				if err := goodRegister(linked, p, e, registered); ctx.Err() != nil {
					return err
				}
				return errLost
			},
			caughtBy: []string{"BrokenConnection"},
			wantErr:  "the registry holds {}",
		},
		{
			name: "registers for ever",
			register: func(ctx context.Context, p *fakeRegistry, e discovery.Endpoint, registered func()) error {
				return putOnce(ctx, p, e, 0, registered)
			},
			caughtBy: []string{"Crash"},
			wantErr:  "the registry holds {10.0.0.1:9090}",
		},
		{
			name: "insists on removal",
			register: func(ctx context.Context, p *fakeRegistry, e discovery.Endpoint, registered func()) error {
				if err := putOnce(ctx, p, e, 0, registered); err == nil || errors.Is(err, ctx.Err()) {
					return err
				}
				for p.remove(t.Context(), e.Addr, 0) != nil && t.Context().Err() == nil {
					_ = waitQuiet(t.Context())
				}
				return ctx.Err()
			},
			caughtBy: []string{"StopHung", "StopCut"},
			wantErr:  "had not returned",
		},
		{
			name: "takes its entry back from a newer registration",
			register: func(ctx context.Context, p *fakeRegistry, e discovery.Endpoint, registered func()) error {
				p.memo.Take(ctx, e.Addr) // as if each call were the first
				return goodRegister(ctx, p, e, registered)
			},
			caughtBy: []string{"NewerWins", "NewerWinsChanged", "OlderWaits", "ConflictAfterOutage"},
		},
		{
			name: "leaves the entry to an older registration",
			register: func(ctx context.Context, p *fakeRegistry, e discovery.Endpoint, registered func()) error {
				if err := p.until(ctx, func() bool { _, taken := p.entries[e.Addr]; return !taken }); err != nil {
					return err
				}
				return goodRegister(ctx, p, e, registered)
			},
			caughtBy: []string{"NewerWins", "NewerWinsChanged", "OlderWaits"},
			wantErr:  "not registered",
		},
		{
			name: "waits without a word about the conflict",
			register: func(ctx context.Context, p *fakeRegistry, e discovery.Endpoint, registered func()) error {
				for {
					if err := goodRegister(ctx, p, e, registered); !errors.Is(err, discovery.ErrConflict) {
						return err
					}
				}
			},
			caughtBy: []string{"NewerWins", "NewerWinsChanged", "OlderWaits", "ConflictAfterOutage"},
			wantErr:  "want lost with ErrConflict",
		},
		{
			name: "removes the entry of a newer registration",
			register: func(ctx context.Context, p *fakeRegistry, e discovery.Endpoint, registered func()) error {
				err := goodRegister(ctx, p, e, registered)
				if ctx.Err() != nil {
					p.change(func() { delete(p.entries, e.Addr); p.hung = true })
					_ = waitQuiet(t.Context()) // as long as it takes the newer to put its entry back
					p.change(func() { p.hung = false })
				}
				return err
			},
			caughtBy: []string{"NewerWins", "NewerWinsChanged"},
			wantErr:  "the registry holds",
		},
		{
			name: "gives up after a conflict",
			register: func(ctx context.Context, p *fakeRegistry, e discovery.Endpoint, registered func()) error {
				err := goodRegister(ctx, p, e, registered)
				if !errors.Is(err, discovery.ErrConflict) {
					return err
				}
				<-ctx.Done()
				return ctx.Err()
			},
			caughtBy: []string{"OlderWaits"},
		},
		{
			name: "takes itself for registered",
			register: func(ctx context.Context, p *fakeRegistry, e discovery.Endpoint, registered func()) error {
				return putOnce(ctx, p, e, p.session(), registered)
			},
			caughtBy: []string{"ReportsLoss"},
			wantErr:  "is still registered",
		},
		{
			name: "leaves a goroutine",
			register: func(ctx context.Context, p *fakeRegistry, e discovery.Endpoint, registered func()) error {
				go func() { <-t.Context().Done() }()
				return goodRegister(ctx, p, e, registered)
			},
			caughtBy: []string{"NothingLeft"},
			wantErr:  "goroutines are left",
		},
	}
}

func TestEachBrokenRegistrarIsCaught(t *testing.T) {
	canFail := make(map[string]bool) // rules that catch a broken registrar
	for _, b := range brokenRegistrars(t) {
		for _, name := range b.caughtBy {
			canFail[name] = true
		}
		t.Run(b.name, func(t *testing.T) {
			for _, name := range b.caughtBy {
				wantCaught(t, registrarRules(), name, newFakeRegistry(b.register).fixture(), b.wantErr)
			}
		})
	}
	for _, rule := range registrarRules() {
		if !canFail[rule.name] {
			t.Errorf("no broken registrar shows that rule %s can fail", rule.name)
		}
	}
}

func TestARegistrarThatWorksIsNotCaught(t *testing.T) {
	RunRegistrar(t, func(*testing.T) Fixture { return newFakeRegistry(goodRegister).fixture() })
}
