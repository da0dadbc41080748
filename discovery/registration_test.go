package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// registrar is a function as a Registrar.
type registrar func(ctx context.Context, e discovery.Endpoint, registered func()) error

func (r registrar) Register(ctx context.Context, e discovery.Endpoint, registered func()) error {
	return r(ctx, e, registered)
}

var self = discovery.Endpoint{Addr: "10.0.0.7:9090"}

// register is discovery.Register of what can work.
func register(t *testing.T, r registrar, opts ...discovery.RegisterOption) *discovery.Registration {
	t.Helper()
	g, err := discovery.Register(r, self, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// hold registers at once and keeps the contract to its end.
func hold(ctx context.Context, _ discovery.Endpoint, registered func()) error {
	registered()
	<-ctx.Done()
	return ctx.Err()
}

// states keeps the states that a registration enters.
type states struct {
	mu  sync.Mutex
	all []string
}

func (s *states) option() discovery.RegisterOption {
	return discovery.OnChange(func(state discovery.State, err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		text := state.String()
		if err != nil {
			text += " with error"
		}
		s.all = append(s.all, text)
	})
}

func (s *states) get() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

func TestOnChangeIsCalledWithEachState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var states states
		attempts := 0
		g := register(t, func(ctx context.Context, e discovery.Endpoint, registered func()) error {
			if !e.Equal(self) {
				t.Errorf("asked to register %v", e)
			}
			if attempts++; attempts == 1 {
				return errors.New("registry down")
			}
			return hold(ctx, e, registered)
		}, states.option())
		if err := g.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if state, err := g.State(); state != discovery.StateRegistered || err != nil {
			t.Errorf("it is %v, error %v", state, err)
		}
		if err := g.Close(t.Context()); err != nil {
			t.Error(err)
		}
		want := []string{"lost with error", "registered", "deregistered"}
		if got := states.get(); !slices.Equal(got, want) {
			t.Errorf("entered %q, want %q", got, want)
		}
		if attempts != 2 {
			t.Errorf("%d attempts", attempts)
		}
	})
}

func TestRegistrarIsCalledAgainAfterADayOfOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := time.Now().Add(24 * time.Hour)
		attempts := 0
		g := register(t, func(ctx context.Context, e discovery.Endpoint, registered func()) error {
			switch attempts++; {
			case time.Now().After(up):
				return hold(ctx, e, registered)
			case attempts%3 == 0:
				panic("a bug")
			case attempts%3 == 1:
				runtime.Goexit()
			}
			return errors.New("registry down")
		})
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

func TestLostRegistrationIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		expire := make(chan struct{}, 1)
		var states states
		g := register(t, func(ctx context.Context, _ discovery.Endpoint, registered func()) error {
			registered()
			registered() // anew within one call: the same state
			select {
			case <-expire:
				return errors.New("lease expired")
			case <-ctx.Done():
				return nil
			}
		}, states.option())
		synctest.Wait()
		expire <- struct{}{}
		synctest.Wait()
		if state, err := g.State(); state != discovery.StateLost || !strings.Contains(err.Error(), "10.0.0.7:9090") ||
			!strings.Contains(err.Error(), "lease expired") {
			t.Errorf("it is %v, error %v", state, err)
		}
		if err := g.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if err := g.Close(t.Context()); err != nil {
			t.Error(err)
		}
		want := []string{"registered", "lost with error", "registered", "deregistered"}
		if got := states.get(); !slices.Equal(got, want) {
			t.Errorf("entered %q, want %q", got, want)
		}
	})
}

func TestCloseWaitsForTheRemovalAndReturnsItsFailure(t *testing.T) {
	for _, c := range []struct {
		removal error
		fails   bool
	}{{nil, false}, {context.Canceled, false}, {fmt.Errorf("watch: %w", context.Canceled), false}, {errors.New("no answer"), true}} {
		synctest.Test(t, func(t *testing.T) {
			removed := false
			g := register(t, func(ctx context.Context, _ discovery.Endpoint, _ func()) error {
				<-ctx.Done()
				time.Sleep(300 * time.Millisecond) // as long as the registry takes
				removed = true
				return c.removal
			})
			synctest.Wait()
			short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if err := g.Close(short); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Close with a short context: %v", err)
			}
			for range 2 { // a second Close returns the same
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

// Close ends a registration in the pause behind a Register that failed: nobody has removed the entry.
func TestCloseInThePauseBehindAFailureSaysThatTheEntryMayStay(t *testing.T) {
	for name, c := range map[string]struct {
		registered bool
		failure    error
		fails      bool
	}{
		"it was registered":      {true, errors.New("permission denied"), true},
		"it never was":           {false, errors.New("permission denied"), false},
		"another has taken over": {true, discovery.ErrConflict, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			var calls atomic.Int32
			g := register(t, func(_ context.Context, _ discovery.Endpoint, registered func()) error {
				if calls.Add(1) == 1 && c.registered {
					registered()
				}
				return c.failure
			})
			time.Sleep(time.Hour) // pauses are long by now
			before := calls.Load()
			err := g.Close(t.Context())
			if calls.Load() != before || (err != nil) != c.fails || err != nil && !errors.Is(err, c.failure) {
				t.Errorf("%s: Close returned %v", name, err)
			}
		})
	}
}

func TestNothingIsRegisteredAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := false
		g := register(t, func(context.Context, discovery.Endpoint, func()) error {
			if closed {
				t.Error("the registrar was called after Close")
			}
			return errors.New("registry down")
		})
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
			t.Error("Wait returned nil although the registration is closed")
		}
	})
}

func TestRegisteredDoesNothingAfterTheEndOfItsCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stray func()
		g := register(t, func(_ context.Context, _ discovery.Endpoint, registered func()) error {
			stray = registered
			return errors.New("registry down")
		})
		synctest.Wait()
		stray()
		if state, _ := g.State(); state != discovery.StateLost {
			t.Errorf("it is %v", state)
		}
		if err := g.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestWaitReturnsTheLastFailureWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := register(t, func(context.Context, discovery.Endpoint, func()) error {
			return errors.New("registry down")
		})
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

// picky is a registrar with opinions.
type picky struct {
	registrar

	err, endpointErr error
}

func (p picky) Validate() error { return p.err }

func (p picky) ValidateEndpoint(discovery.Endpoint) error {
	if p.err != nil {
		panic("a registrar that is not valid is asked about an endpoint")
	}
	return p.endpointErr
}

func TestRegisterReturnsAnErrorAtOnceForWhatCanNeverWork(t *testing.T) {
	never := registrar(func(context.Context, discovery.Endpoint, func()) error {
		t.Error("the registrar was called")
		return nil
	})
	for _, c := range []struct {
		name      string
		registrar discovery.Registrar
		endpoint  discovery.Endpoint
		want      []string // all of them in the error
	}{
		{"no registrar", nil, self, []string{"registrar is nil", "OpenRegistrar"}},
		{"a registrar that is not valid", picky{never, errors.New("no server"), nil}, self, []string{"no server"}},
		{"no port", never, discovery.Endpoint{Addr: "10.0.0.7"}, []string{`"10.0.0.7"`, "missing port"}},
		{"no host", never, discovery.Endpoint{Addr: ":9090"}, []string{"no host"}},
		{"a negative weight", never, discovery.Endpoint{Addr: self.Addr, Weight: -1}, []string{"weight -1"}},
		{
			"all of it at once",
			picky{never, errors.New("no server"), nil},
			discovery.Endpoint{Addr: "0.0.0.0:80", Weight: -1},
			[]string{"no server", "weight -1", "0.0.0.0 stands for"},
		},
		{
			"what the format cannot hold",
			picky{never, nil, errors.New("it cannot hold a weight")},
			self,
			[]string{self.Addr, "cannot hold a weight", "change the endpoint"},
		},
		{"every address", never, discovery.Endpoint{Addr: "0.0.0.0:9090"}, []string{"0.0.0.0 stands for", "register an address at which they reach"}},
		{"every address as a star", never, discovery.Endpoint{Addr: "*:9090"}, []string{"* stands for"}},
		{"every address of IPv6", never, discovery.Endpoint{Addr: "[::]:9090"}, []string{":: stands for"}},
		{"written out", never, discovery.Endpoint{Addr: "[0:0:0:0:0:0:0:0]:9090"}, []string{"stands for"}},
		{"as IPv4 in IPv6", never, discovery.Endpoint{Addr: "[::ffff:0.0.0.0]:9090"}, []string{"stands for"}},
		{"with a zone", never, discovery.Endpoint{Addr: "[::%eth0]:9090"}, []string{"stands for"}},
		{"as IPv4 in IPv6 with a zone", never, discovery.Endpoint{Addr: "[::ffff:0.0.0.0%eth0]:9090"}, []string{"stands for"}},
	} {
		synctest.Test(t, func(t *testing.T) { // a goroutine that is left fails it
			g, err := discovery.Register(c.registrar, c.endpoint)
			if err == nil || g != nil {
				t.Errorf("%s: returned %v, %v", c.name, g, err)
				return
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: error %q, want one that says %q", c.name, err, want)
				}
			}
		})
	}
}

func TestEveryAddressThatCanBeReachedIsRegistered(t *testing.T) {
	for _, addr := range []string{"10.0.0.7:1", "127.0.0.1:1", "[::1]:1", "[fe80::1%eth0]:1", "db.example:1", "unix:/run/a.sock", "0.0.0.1:1"} {
		synctest.Test(t, func(t *testing.T) {
			g, err := discovery.Register(picky{registrar: hold}, discovery.Endpoint{Addr: addr})
			if err != nil {
				t.Errorf("%s: %v", addr, err)
				return
			}
			if err := errors.Join(g.Wait(t.Context()), g.Close(t.Context())); err != nil {
				t.Errorf("%s: %v", addr, err)
			}
		})
	}
}

// TestConflictAtTheCloseIsNoErrorOfIt has a registrar find at its end that
// another registration has the entry.
func TestConflictAtTheCloseIsNoErrorOfIt(t *testing.T) {
	g := register(t, func(ctx context.Context, _ discovery.Endpoint, registered func()) error {
		registered()
		<-ctx.Done()
		return fmt.Errorf("at the end: %w", discovery.ErrConflict)
	})
	if err := g.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(t.Context()); err != nil {
		t.Errorf("Close returned %v", err)
	}
}

func TestOptionOfRegisterThatIsNilIsAnError(t *testing.T) {
	r := registrar(func(context.Context, discovery.Endpoint, func()) error { t.Error("it registers"); return nil })
	if g, err := discovery.Register(r, discovery.Endpoint{Addr: "10.0.0.7:80"}, nil); g != nil || err == nil || !strings.Contains(err.Error(), "is nil") {
		t.Errorf("error %v", err)
	}
}
