package discoverytest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

// brokenRegistrar is a mistake, and the rules that have to find it.
type brokenRegistrar struct {
	name     string
	register registerFunc
	caughtBy []string
	says     string // part of what each of them has to say
}

// putOnce registers without ever looking again.
func putOnce(ctx context.Context, p *fakeRegistry, e core.Endpoint, session int) error {
	if err := p.put(ctx, e, session); err != nil {
		return err
	}
	discovery.Confirm(ctx)
	<-ctx.Done()
	return withdraw(ctx, p, e, session)
}

func brokenRegistrars(t *testing.T) []brokenRegistrar {
	t.Helper()
	return []brokenRegistrar{
		{
			name: "confirms what it has not done yet",
			register: func(ctx context.Context, p *fakeRegistry, e core.Endpoint) error {
				discovery.Confirm(ctx)
				if err := rest(ctx); err != nil {
					return err
				}
				return goodRegister(ctx, p, e)
			},
			caughtBy: []string{"Registers"},
			says:     "the registry has {}",
		},
		{
			name: "registers the address alone",
			register: func(ctx context.Context, p *fakeRegistry, e core.Endpoint) error {
				return goodRegister(ctx, p, core.Endpoint{Addr: e.Addr})
			},
			caughtBy: []string{"Attributes", "Again"},
			says:     "the registry has",
		},
		{
			name: "leaves removal to the registry",
			register: func(ctx context.Context, p *fakeRegistry, e core.Endpoint) error {
				if err := p.put(ctx, e, p.session()); err != nil {
					return err
				}
				discovery.Confirm(ctx)
				<-ctx.Done()
				return ctx.Err()
			},
			caughtBy: []string{"Deregisters", "Final"},
			says:     "the registry has {10.0.0.1:9090}",
		},
		{
			name: "takes its end for a failure",
			register: func(ctx context.Context, p *fakeRegistry, e core.Endpoint) error {
				_ = goodRegister(ctx, p, e)
				return errors.New("registrar: stopped")
			},
			caughtBy: []string{"Deregisters"},
			says:     "does not match",
		},
		{
			name: "does not wait for what it has begun",
			register: func(ctx context.Context, p *fakeRegistry, e core.Endpoint) error {
				session := p.session()
				done := make(chan struct{})
				go func() {
					time.Sleep(5 * time.Millisecond) // a slow request
					_ = p.put(context.WithoutCancel(ctx), e, session)
					close(done)
				}()
				select {
				case <-done:
					discovery.Confirm(ctx)
					<-ctx.Done()
				case <-ctx.Done():
				}
				return withdraw(ctx, p, e, session)
			},
			caughtBy: []string{"Final"},
			says:     "the registry has {10.0.0.1:9090}",
		},
		{
			name: "removes everything that is its own",
			register: func(ctx context.Context, p *fakeRegistry, e core.Endpoint) error {
				err := goodRegister(ctx, p, e)
				_ = p.request(context.Background(), func() { clear(p.entries) })
				<-t.Context().Done() // so that nobody registers again
				return err
			},
			caughtBy: []string{"Several"},
		},
		{
			name: "takes an entry that is there for its own",
			register: func(ctx context.Context, p *fakeRegistry, e core.Endpoint) error {
				p.mu.Lock()
				left, ok := p.entries[e.Addr]
				p.mu.Unlock()
				if !ok {
					return goodRegister(ctx, p, e)
				}
				discovery.Confirm(ctx)
				<-ctx.Done()
				return withdraw(ctx, p, e, left.session)
			},
			caughtBy: []string{"TakesOver"},
			says:     "the registry has {}",
		},
		{
			name: "does not look again",
			register: func(ctx context.Context, p *fakeRegistry, e core.Endpoint) error {
				return putOnce(ctx, p, e, p.session())
			},
			caughtBy: []string{"Deleted", "ExpiredRegistrar", "Outage"},
			says:     "the registry has {}",
		},
		{
			name: "removes its entry when its connection breaks",
			register: func(ctx context.Context, p *fakeRegistry, e core.Endpoint) error {
				p.mu.Lock()
				links := p.links
				p.mu.Unlock()
				linked, cancel := context.WithCancel(ctx)
				defer cancel()
				go func() {
					_ = p.until(linked, func() bool { return p.links != links })
					cancel()
				}()
				if err := goodRegister(linked, p, e); ctx.Err() != nil {
					return err
				}
				return errLost
			},
			caughtBy: []string{"BrokenLink"},
			says:     "the registry has {}",
		},
		{
			name: "registers for ever",
			register: func(ctx context.Context, p *fakeRegistry, e core.Endpoint) error {
				return putOnce(ctx, p, e, 0)
			},
			caughtBy: []string{"Crash"},
			says:     "the registry has {10.0.0.1:9090}",
		},
		{
			name: "insists on removal",
			register: func(ctx context.Context, p *fakeRegistry, e core.Endpoint) error {
				if err := putOnce(ctx, p, e, 0); err == nil || errors.Is(err, ctx.Err()) {
					return err
				}
				for p.remove(t.Context(), e.Addr, 0) != nil && t.Context().Err() == nil {
					_ = rest(t.Context())
				}
				return ctx.Err()
			},
			caughtBy: []string{"StopHung", "StopCut"},
			says:     "had not returned",
		},
		{
			name: "leaves a goroutine",
			register: func(ctx context.Context, p *fakeRegistry, e core.Endpoint) error {
				go func() { <-t.Context().Done() }()
				return goodRegister(ctx, p, e)
			},
			caughtBy: []string{"NothingLeft"},
			says:     "goroutines are left",
		},
	}
}

func registrarHarness(r registerFunc) RegistrarHarness {
	return RegistrarHarness{
		NewPlace: func(context.Context) (RegistrarPlace, error) { return newFakeRegistry(r), nil },
		TTL:      fakeTTL,
	}
}

func TestEachBrokenRegistrarIsCaught(t *testing.T) {
	shown := make(map[string]bool)
	for _, b := range brokenRegistrars(t) {
		t.Run(b.name, func(t *testing.T) {
			for _, name := range b.caughtBy {
				i := slices.IndexFunc(registrarRules(), func(r registrarRule) bool { return r.name == name })
				if i < 0 {
					t.Fatalf("there is no rule %s", name)
				}
				h := registrarHarness(b.register)
				h.Timeout = 200 * time.Millisecond // it is meant to run out
				err := examineRegistrar(t.Context(), h, registrarRules()[i])
				switch {
				case errors.Is(err, errors.ErrUnsupported):
					t.Errorf("%s was skipped: %v", name, err)
				case err == nil:
					t.Errorf("%s did not catch it", name)
				case !strings.Contains(err.Error(), b.says):
					t.Errorf("%s says %q, want it to say %q", name, err, b.says)
				}
				shown[name] = true
			}
		})
	}
	for _, r := range registrarRules() {
		if !shown[r.name] {
			t.Errorf("no broken registrar shows that rule %s can fail", r.name)
		}
		if r.says == "" {
			t.Errorf("rule %s has no sentence", r.name)
		}
	}
}

func TestARegistrarThatWorksIsNotCaught(t *testing.T) {
	RunRegistrar(t, registrarHarness(goodRegister))
}
