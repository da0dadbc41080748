package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/lifecycle"
)

// registry is a registrar that keeps one entry in memory, by the rules of
// [discovery.Registrar].
type registry struct {
	begun time.Time

	mu       sync.Mutex
	down     bool
	owner    *discovery.Endpoint
	lost     map[<-chan struct{}]bool // registrations that wait
	changed  chan struct{}
	history  []string // of the entry, with the seconds since begun
	attempts int
}

func newRegistry() *registry {
	return &registry{begun: time.Now(), lost: map[<-chan struct{}]bool{}, changed: make(chan struct{})}
}

// setLocked changes the entry.
func (r *registry) setLocked(e *discovery.Endpoint) {
	r.owner = e
	close(r.changed)
	r.changed = make(chan struct{})
	text := "none"
	if e != nil {
		text = fmt.Sprintf("%v%v", e.Weight, e.Attrs)
	}
	r.history = append(r.history, fmt.Sprintf("%v %s", time.Since(r.begun).Truncate(time.Second), text))
}

// state returns the entry, and how often anybody tried to register.
func (r *registry) state() (entry *discovery.Endpoint, attempts int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.owner, r.attempts
}

func (r *registry) Register(ctx context.Context, e discovery.Endpoint, registered func()) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts++
	if r.down {
		return errors.New("the registry is down")
	}
	wait := func() {
		changed := r.changed
		r.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		r.mu.Lock()
	}
	for r.lost[ctx.Done()] && r.owner != nil && ctx.Err() == nil {
		wait()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	mine := &e
	r.setLocked(mine)
	registered()
	for ctx.Err() == nil && r.owner == mine {
		wait()
	}
	if r.owner == mine {
		r.setLocked(nil)
		return ctx.Err()
	}
	r.lost[ctx.Done()] = true
	return discovery.ErrConflict
}

var server = discovery.Endpoint{Addr: "10.0.0.7:9090", Weight: 1}

// start runs a service, whose end is what the returned function waits for.
func start(t *testing.T, r discovery.Registrar, drain func(context.Context) error, opts ...lifecycle.Option) (s *lifecycle.Service, stop func() error) {
	t.Helper()
	s, err := lifecycle.New(r, server, opts...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, drain) }()
	return s, func() error { cancel(); return <-ended }
}

func status(h http.Handler) (code int, body string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
	return w.Code, strings.TrimSpace(w.Body.String())
}

func TestServerIsRegisteredWhileItIsHealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		var mu sync.Mutex
		health := errors.New("no database")
		set := func(err error) { mu.Lock(); defer mu.Unlock(); health = err }
		s, stop := start(t, r, nil, lifecycle.WithCheck(func(context.Context) error { mu.Lock(); defer mu.Unlock(); return health }),
			lifecycle.CheckInterval(10*time.Second), lifecycle.FailureThreshold(2))
		ready := func(want string) {
			t.Helper()
			synctest.Wait()
			if code, body := status(s.ReadyHandler()); body != want || (code == 200) != (want == "ok") {
				t.Errorf("after %v, ready is %d, %q, want %q", time.Since(r.begun), code, body, want)
			}
			if code, _ := status(s.LiveHandler()); code != 200 {
				t.Errorf("live is %d", code)
			}
		}
		ready("unhealthy: no database")
		time.Sleep(15 * time.Second)
		set(nil)
		time.Sleep(10 * time.Second)
		ready("ok")
		set(errors.New("slow"))
		time.Sleep(10 * time.Second) // one failure is none
		ready("ok")
		set(nil)
		time.Sleep(10 * time.Second)
		set(errors.New("broken"))
		time.Sleep(20 * time.Second)
		ready("unhealthy: broken")
		set(nil)
		time.Sleep(10 * time.Second)
		ready("ok")
		if err := stop(); err != nil {
			t.Error(err)
		}
		ready("shutting down")
		if want := []string{"20s 1map[]", "1m0s none", "1m10s 1map[]", "1m15s none"}; !slices.Equal(r.history, want) {
			t.Errorf("the entry was %q, want %q", r.history, want)
		}
	})
}

func TestEndIsOutOfTheRegistryThenLingersThenDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		var drained time.Duration
		s, stop := start(t, r, func(ctx context.Context) error {
			drained = time.Since(r.begun)
			<-ctx.Done() // a call that does not end
			return ctx.Err()
		}, lifecycle.Linger(7*time.Second), lifecycle.DrainTimeout(11*time.Second))
		time.Sleep(time.Minute)
		err := stop()
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "draining") {
			t.Errorf("error %v", err)
		}
		if took := time.Since(r.begun); drained != 67*time.Second || took != 78*time.Second {
			t.Errorf("drained after %v, returned after %v", drained, took)
		}
		if want := []string{"0s 1map[]", "1m0s none"}; !slices.Equal(r.history, want) {
			t.Errorf("the entry was %q, want %q", r.history, want)
		}
		if err := s.Run(t.Context(), nil); err == nil {
			t.Error("Run ran twice")
		}
	})
}

func TestUpdateChangesTheEntryWithoutAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		var states []string
		s, stop := start(t, r, nil, lifecycle.Linger(0), lifecycle.OnRegistration(func(state discovery.State, err error) {
			states = append(states, fmt.Sprintf("%v %v", state, err))
		}))
		time.Sleep(time.Second)
		for i := range 3 {
			if err := s.Update(func(e *discovery.Endpoint) { e.Weight, e.Attrs = float64(i+2), map[string]string{"v": fmt.Sprint(i)} }); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
		}
		if err := s.Update(func(e *discovery.Endpoint) { e.Attrs["v"] = "2" }); err != nil { // nothing new
			t.Error(err)
		}
		for _, wrong := range []func(*discovery.Endpoint){
			func(e *discovery.Endpoint) { e.Addr = "10.0.0.8:9090" }, func(e *discovery.Endpoint) { e.Weight = -1 },
		} {
			if err := s.Update(wrong); err == nil {
				t.Error("a wrong update was taken")
			}
		}
		time.Sleep(time.Second)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if want := []string{"0s 1map[]", "1s 2map[v:0]", "2s 3map[v:1]", "3s 4map[v:2]", "5s none"}; !slices.Equal(r.history, want) {
			t.Errorf("the entry was %q, want %q", r.history, want)
		}
		if want := []string{"registered <nil>", "registered <nil>", "registered <nil>", "registered <nil>", "deregistered <nil>"}; !slices.Equal(states, want) {
			t.Errorf("the states were %q", states)
		}
	})
}

func TestUpdatesDuringAnOutageAndAnEndRightAfterThemLeaveNoEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		s, stop := start(t, r, nil, lifecycle.Linger(0))
		time.Sleep(time.Second)
		update := func(w float64) {
			if err := s.Update(func(e *discovery.Endpoint) { e.Weight = w }); err != nil {
				t.Error(err)
			}
		}
		r.mu.Lock()
		r.down = true
		r.setLocked(nil) // wiped
		r.mu.Unlock()
		update(2)
		update(3)
		if err := s.Ready(); err != nil {
			t.Errorf("a registry that is down makes the server not ready: %v", err)
		}
		time.Sleep(time.Minute)
		r.mu.Lock()
		r.down = false
		r.mu.Unlock()
		time.Sleep(time.Minute)
		if entry, _ := r.state(); entry == nil || entry.Weight != 3 {
			t.Errorf("the entry is %v", entry)
		}
		update(4)
		update(5)
		if err := stop(); err != nil {
			t.Error(err)
		}
		_, before := r.state()
		time.Sleep(time.Hour)
		if entry, attempts := r.state(); entry != nil || attempts != before {
			t.Errorf("the entry is %v, after %d more attempts", entry, attempts-before)
		}
	})
}

func TestServiceWithoutARegistryIsReadyAndDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drained := false
		s, stop := start(t, nil, func(context.Context) error { drained = true; return nil })
		if err := s.Update(func(e *discovery.Endpoint) { e.Weight = 2 }); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if err := s.Ready(); err != nil {
			t.Error(err)
		}
		if err := stop(); err != nil || !drained {
			t.Errorf("error %v, drained: %t", err, drained)
		}
	})
}

func TestHungCheckIsAFailedOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := start(t, newRegistry(), nil, lifecycle.WithCheck(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }))
		time.Sleep(6 * time.Second)
		if err := s.Ready(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ready: %v", err)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestMistakesAreErrorsOfNew(t *testing.T) {
	for name, c := range map[string]struct {
		e    discovery.Endpoint
		opts []lifecycle.Option
	}{
		"address":   {discovery.Endpoint{Addr: "x"}, nil},
		"0.0.0.0":   {discovery.Endpoint{Addr: "0.0.0.0:80"}, nil},
		"interval":  {server, []lifecycle.Option{lifecycle.CheckInterval(0)}},
		"linger":    {server, []lifecycle.Option{lifecycle.Linger(-1)}},
		"drain":     {server, []lifecycle.Option{lifecycle.DrainTimeout(0)}},
		"threshold": {server, []lifecycle.Option{lifecycle.FailureThreshold(0)}},
		"check":     {server, []lifecycle.Option{lifecycle.WithCheck(nil)}},
		"nil":       {server, []lifecycle.Option{nil}},
	} {
		if s, err := lifecycle.New(newRegistry(), c.e, c.opts...); err == nil || s != nil {
			t.Errorf("%s: %v, error %v", name, s, err)
		}
	}
}
