// Package lifecycle ties the registration of a server to its health and its end.
//
//	service, err := lifecycle.New(registrar, discovery.Endpoint{Addr: "10.0.0.7:9090"}, lifecycle.WithCheck(db.PingContext))
//	http.Handle("/readyz", service.ReadyHandler())
//	http.Handle("/livez", service.LiveHandler())
//
//	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
//	context.AfterFunc(ctx, stop) // a second signal kills
//	err = service.Run(ctx, server.Shutdown)
//
// The server is registered when its check first succeeds. While it is unhealthy, it
// is not in the registry; a weight would still bring it calls. When the context ends, Run takes it out of the registry
// first, then lets calls come in for as long as clients may take to notice, then
// drains the server, and returns. So no client calls a server that has ended.
//
// docs/kubernetes.md has a recipe for Kubernetes.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/wait"
)

// updateTimeout is how long an old registration waits for its successor before it
// ends: longer than a registry that works needs.
const updateTimeout = 10 * time.Second

// Option sets one parameter of [New].
type Option func(*Service)

// WithCheck sets the check of the server's health. Run calls it, one call at a time,
// first at once. Its context ends after CheckInterval. By default the server is
// always healthy.
func WithCheck(check func(context.Context) error) Option {
	return func(s *Service) { s.check = check }
}

// CheckInterval sets the time from one check to the next. It is 5 s by default.
func CheckInterval(d time.Duration) Option { return func(s *Service) { s.interval = d } }

// FailureThreshold sets how many checks must fail in a row for a server that was
// healthy to be unhealthy. It is 3 by default. One success makes it healthy.
func FailureThreshold(n int) Option { return func(s *Service) { s.threshold = n } }

// Linger sets how long the server goes on after it has left the registry, for
// clients that have not noticed yet: the latency of the registry, or the TTL in DNS.
// It is 5 s by default; zero means that the drain begins at once.
func Linger(d time.Duration) Option { return func(s *Service) { s.linger = d } }

// DrainTimeout sets after which time the context of drain ends. It is 30 s by
// default.
func DrainTimeout(d time.Duration) Option { return func(s *Service) { s.drainTimeout = d } }

// OnRegistration sets a function that is called as [discovery.OnChange] says, of the
// newest registration.
func OnRegistration(f func(discovery.State, error)) Option {
	return func(s *Service) { s.onRegistration = f }
}

// Service is a server's life. Make one with [New]. Its methods are safe for
// concurrent use.
type Service struct {
	registrar      discovery.Registrar
	check          func(context.Context) error
	interval       time.Duration
	threshold      int
	linger         time.Duration
	drainTimeout   time.Duration
	onRegistration func(discovery.State, error)

	ran      atomic.Bool
	failures int // in a row; of Run

	mu       sync.Mutex
	endpoint discovery.Endpoint
	notReady error // why, or nil
	current  *registration
	// older are the registrations that current has replaced, until it is registered
	// or hurry is called.
	older sync.WaitGroup
	hurry context.CancelFunc
	rush  context.Context //nolint:containedctx // what hurry ends
}

// registration is one of several of the same server, of which the newest counts.
type registration struct {
	*discovery.Registration

	replaced atomic.Bool
}

// errStarting is why a server is not ready at first.
var errStarting = errors.New("starting")

// New returns the life of the server at e. It registers nothing yet. A nil
// registrar means that there is no registry, as where Kubernetes alone watches
// ReadyHandler. New returns an error for options that make no sense, and for what
// can never be registered, see [discovery.CanRegister].
func New(r discovery.Registrar, e discovery.Endpoint, opts ...Option) (*Service, error) {
	s := &Service{
		registrar: r, endpoint: e, notReady: errStarting,
		check:    func(context.Context) error { return nil },
		interval: 5 * time.Second, threshold: 3, linger: 5 * time.Second, drainTimeout: 30 * time.Second,
	}
	for i, o := range opts {
		if o == nil {
			return nil, fmt.Errorf("lifecycle: option %d is nil", i+1)
		}
		o(s)
	}
	var errs []error
	if s.check == nil {
		errs = append(errs, errors.New("WithCheck: the check is nil"))
	}
	if s.interval <= 0 || s.drainTimeout <= 0 || s.linger < 0 || s.threshold < 1 {
		errs = append(errs, fmt.Errorf("CheckInterval(%v), DrainTimeout(%v), Linger(%v), FailureThreshold(%d): must be above 0, Linger may be 0",
			s.interval, s.drainTimeout, s.linger, s.threshold))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("lifecycle: %w", err)
	}
	if err := s.valid(e); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Service) valid(e discovery.Endpoint) error {
	if s.registrar == nil {
		return e.Validate()
	}
	return discovery.CanRegister(s.registrar, e)
}

// Run keeps the server registered while it is healthy, until ctx ends. Then the
// server is not ready any more and leaves the registry; after [Linger], Run calls
// drain, if it is not nil, which lets calls under way finish, as Shutdown of
// net/http does, and returns. The error is that of drain, and why the entry may
// still be in the registry. Run may be called once.
func (s *Service) Run(ctx context.Context, drain func(context.Context) error) error {
	if s.ran.Swap(true) {
		return errors.New("lifecycle: Run was called before")
	}
	var err error
	for ctx.Err() == nil && err == nil {
		if err = s.look(ctx); err == nil {
			_ = wait.For(ctx, s.interval)
		}
	}
	rest := context.WithoutCancel(ctx)
	s.setReady(errors.New("shutting down"))
	err = errors.Join(err, s.leave(rest))
	_ = wait.For(rest, s.linger)
	if drain != nil {
		limit, cancel := context.WithTimeout(rest, s.drainTimeout)
		defer cancel()
		if derr := drain(limit); derr != nil {
			err = errors.Join(err, fmt.Errorf("lifecycle: draining: %w", derr))
		}
	}
	return err
}

// look checks the server's health, and registers or deregisters it. The error is
// that it can never be registered.
func (s *Service) look(ctx context.Context) error {
	limit, cancel := context.WithTimeout(ctx, s.interval)
	defer cancel()
	err := s.check(limit)
	if ctx.Err() != nil {
		return nil
	}
	if err == nil {
		s.failures = 0
		s.setReady(nil)
		return s.join() //nolint:contextcheck // leave ends the registration
	}
	if s.failures++; s.failures >= s.threshold || s.Ready() != nil {
		s.setReady(fmt.Errorf("unhealthy: %w", err))
		_ = s.leave(context.WithoutCancel(ctx)) // if the entry stays, the registry drops it
	}
	return nil
}

func (s *Service) setReady(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notReady = err
}

// Ready returns nil while the server is healthy and not shutting down, and otherwise
// why it should get no calls. The registry has no part in it: that it is down is no
// reason to stop serving.
func (s *Service) Ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.notReady
}

// join registers the server unless it is.
func (s *Service) join() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.registrar == nil || s.current != nil {
		return nil
	}
	var err error
	s.current, err = s.register(s.endpoint)
	s.rush, s.hurry = context.WithCancel(context.Background())
	return err
}

func (s *Service) register(e discovery.Endpoint) (*registration, error) {
	r := &registration{}
	g, err := discovery.Register(s.registrar, e, discovery.OnChange(func(state discovery.State, err error) {
		if s.onRegistration != nil && !r.replaced.Load() {
			s.onRegistration(state, err)
		}
	}))
	if err != nil {
		return nil, err
	}
	r.Registration = g
	return r, nil
}

// leave deregisters the server if it is registered.
func (s *Service) leave(ctx context.Context) error {
	s.mu.Lock()
	current, hurry := s.current, s.hurry
	s.current = nil
	s.mu.Unlock()
	if current == nil {
		return nil
	}
	hurry() // none of them is to take the entry when it is free
	s.older.Wait()
	return end(ctx, current.Registration)
}

// end closes a registration, within the time that it may take.
func end(ctx context.Context, g *discovery.Registration) error {
	ctx, cancel := context.WithTimeout(ctx, 2*discovery.DeregisterTimeout)
	defer cancel()
	return g.Close(ctx)
}

// Update changes the weight, zone or attributes of the server, in place: the entry is
// in the registry at all times, as before or as it is now. change gets a copy.
// Update does no I/O. It returns an error, and changes nothing, if the
// endpoint cannot be registered, or if change has changed Addr.
func (s *Service) Update(change func(e *discovery.Endpoint)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.endpoint
	e.Attrs = maps.Clone(e.Attrs)
	change(&e)
	if e.Addr != s.endpoint.Addr {
		return fmt.Errorf("lifecycle: Update changes the address %s to %s, which is another server", s.endpoint.Addr, e.Addr)
	}
	if err := s.valid(e); err != nil {
		return err
	}
	if e.Equal(s.endpoint) {
		return nil
	}
	s.endpoint = e
	if s.current == nil {
		return nil
	}
	old, rush := s.current, s.rush
	old.replaced.Store(true) // before it loses the entry
	next, err := s.register(e)
	if err != nil {
		old.replaced.Store(false)
		return err
	}
	s.current = next
	// The newest registration of an address has the entry, so the old one ends
	// without a gap once the new one has begun. leave waits for it.
	s.older.Go(func() {
		limit, cancel := context.WithTimeout(rush, updateTimeout)
		defer cancel()
		_ = next.Wait(limit)
		_ = end(context.WithoutCancel(rush), old.Registration)
	})
	return nil
}

// ReadyHandler answers 200 while [Service.Ready] returns nil, and 503 with the reason
// otherwise. It is for /readyz.
func (s *Service) ReadyHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, s.Ready()) })
}

// LiveHandler answers 200: that it answers is what counts. It does so while the
// server is unhealthy, which a restart would not cure, and while it shuts down, so
// that nobody kills it before it has drained. It is for /livez.
func (s *Service) LiveHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, nil) })
}

func answer(w http.ResponseWriter, err error) {
	text := "ok"
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err != nil {
		text = err.Error()
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = io.WriteString(w, text+"\n") // an error if the caller is gone
}
