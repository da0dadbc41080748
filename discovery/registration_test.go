package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

// registrar is a function as a Registrar.
type registrar func(ctx context.Context, e core.Endpoint) error

func (r registrar) Register(ctx context.Context, e core.Endpoint) error { return r(ctx, e) }

var self = core.Endpoint{Addr: "10.0.0.7:9090"}

// hold confirms and keeps the contract to its end.
func hold(ctx context.Context, _ core.Endpoint) error {
	discovery.Confirm(ctx)
	<-ctx.Done()
	return ctx.Err()
}

// phases keeps what a registration tells.
type phases struct {
	mu  sync.Mutex
	all []string
}

func (p *phases) option() discovery.RegisterOption {
	return discovery.OnChange(func(ph discovery.Phase, err error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		s := ph.String()
		if err != nil {
			s += " with error"
		}
		p.all = append(p.all, s)
	})
}

func (p *phases) get() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.all)
}

func TestRegistrationTellsEachPhase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p phases
		attempts := 0
		g := discovery.Register(registrar(func(ctx context.Context, e core.Endpoint) error {
			if !e.Equal(self) {
				t.Errorf("asked to register %v", e)
			}
			if attempts++; attempts == 1 {
				return errors.New("registry down")
			}
			return hold(ctx, e)
		}), self, p.option())
		if err := g.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if ph, err := g.Phase(); ph != discovery.Registered || err != nil {
			t.Errorf("it is %v, error %v", ph, err)
		}
		if err := g.Close(t.Context()); err != nil {
			t.Error(err)
		}
		want := []string{"lost with error", "registered", "deregistered"}
		if got := p.get(); !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
		if attempts != 2 {
			t.Errorf("%d attempts", attempts)
		}
	})
}

func TestRegistrarIsAskedAgainAfterADayOfOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := time.Now().Add(24 * time.Hour)
		attempts := 0
		g := discovery.Register(registrar(func(ctx context.Context, e core.Endpoint) error {
			switch attempts++; {
			case time.Now().After(up):
				return hold(ctx, e)
			case attempts%3 == 0:
				panic("a bug")
			case attempts%3 == 1:
				runtime.Goexit()
			}
			return errors.New("registry down")
		}), self)
		if err := g.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if late := time.Since(up); late > 30*time.Second {
			t.Errorf("registered %v after the registry's return", late)
		}
		if least := int(24 * time.Hour / (30 * time.Second)); attempts < least {
			t.Errorf("%d attempts in a day, want at least %d", attempts, least)
		}
		if err := g.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestLossOfARegistrationIsSeenAndMended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		expire := make(chan struct{}, 1)
		var p phases
		g := discovery.Register(registrar(func(ctx context.Context, _ core.Endpoint) error {
			discovery.Confirm(ctx)
			discovery.Confirm(ctx) // anew within one call: no new phase
			select {
			case <-expire:
				return errors.New("lease expired")
			case <-ctx.Done():
				return nil
			}
		}), self, p.option())
		synctest.Wait()
		expire <- struct{}{}
		synctest.Wait()
		if ph, err := g.Phase(); ph != discovery.Lost || !strings.Contains(err.Error(), "10.0.0.7:9090") ||
			!strings.Contains(err.Error(), "lease expired") {
			t.Errorf("it is %v, error %v", ph, err)
		}
		if err := g.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if err := g.Close(t.Context()); err != nil {
			t.Error(err)
		}
		want := []string{"registered", "lost with error", "registered", "deregistered"}
		if got := p.get(); !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}

func TestCloseWaitsForTheRemovalAndTellsItsFailure(t *testing.T) {
	for _, c := range []struct {
		removal error
		fails   bool
	}{{nil, false}, {context.Canceled, false}, {fmt.Errorf("watch: %w", context.Canceled), false}, {errors.New("no answer"), true}} {
		synctest.Test(t, func(t *testing.T) {
			removed := false
			g := discovery.Register(registrar(func(ctx context.Context, _ core.Endpoint) error {
				<-ctx.Done()
				time.Sleep(300 * time.Millisecond) // as long as the registry takes
				removed = true
				return c.removal
			}), self)
			synctest.Wait()
			short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if err := g.Close(short); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Close with a short context: %v", err)
			}
			for range 2 { // a second Close tells the same
				err := g.Close(t.Context())
				if !removed {
					t.Error("Close returned before the removal")
				}
				if (err != nil) != c.fails {
					t.Errorf("removal ended with %v, Close with %v", c.removal, err)
				}
			}
		})
	}
}

func TestNothingIsRegisteredAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := false
		g := discovery.Register(registrar(func(context.Context, core.Endpoint) error {
			if closed {
				t.Error("the registrar was asked after Close")
			}
			return errors.New("registry down")
		}), self)
		time.Sleep(time.Minute) // the pauses are long now
		begun := time.Now()
		if err := g.Close(t.Context()); err != nil {
			t.Error(err)
		}
		closed = true
		if d := time.Since(begun); d > 0 {
			t.Errorf("Close took %v", d)
		}
		time.Sleep(time.Hour)
		if err := g.Wait(t.Context()); err == nil {
			t.Error("Wait did not tell that it is closed")
		}
	})
}

func TestConfirmationAfterItsCallHasEndedDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stray context.Context
		g := discovery.Register(registrar(func(ctx context.Context, _ core.Endpoint) error {
			stray = ctx
			return errors.New("registry down")
		}), self)
		synctest.Wait()
		discovery.Confirm(stray)
		if ph, _ := g.Phase(); ph != discovery.Lost {
			t.Errorf("it is %v", ph)
		}
		if err := g.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestWaitTellsTheLastFailureWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := discovery.Register(registrar(func(context.Context, core.Endpoint) error {
			return errors.New("registry down")
		}), self)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := g.Wait(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "registry down") {
			t.Errorf("Wait: %v", err)
		}
		if err := g.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestConfirmWithoutAListenerDoesNothing(t *testing.T) {
	discovery.Confirm(t.Context())
}
