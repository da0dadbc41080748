package discovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// State is where a [Registration] stands.
type State uint8

const (
	// StateRegistering is the first state: the registry does not have the
	// endpoint yet, as far as is known.
	StateRegistering State = iota
	// StateRegistered means that the registry has the endpoint.
	StateRegistered
	// StateLost means that the last attempt to register, or to stay registered,
	// failed. Another one follows. If the error matches [ErrConflict], a later
	// registration has the address, and this one waits for its end.
	StateLost
	// StateDeregistered is the last state: the registration was closed, and
	// nothing of it runs.
	StateDeregistered
)

// String returns the name of the state in lower case.
func (s State) String() string {
	switch s {
	case StateRegistering:
		return "registering"
	case StateRegistered:
		return "registered"
	case StateLost:
		return "lost"
	case StateDeregistered:
		return "deregistered"
	default:
		return "unknown state"
	}
}

// Registration is an endpoint that is kept in a registry. Make one with
// [Register]. Its methods are safe for concurrent use.
type Registration struct {
	cancel   context.CancelFunc
	onChange func(State, error) // nil for nobody
	ended    chan struct{}      // closed when the last goroutine ends

	mu      sync.Mutex
	state   State
	err     error
	changed chan struct{} // closed and replaced by each change
}

// RegisterOption is an option of [Register].
type RegisterOption func(*Registration)

// OnChange sets a function that is called with each state that the registration
// enters after the first, one call at a time and in order. It holds the
// registration up, and must not call Close. The error is why a registration was lost, or why the entry
// may still be in the registry although the registration is closed.
func OnChange(f func(State, error)) RegisterOption {
	return func(g *Registration) { g.onChange = f }
}

// Register keeps e registered with r until the [Registration] is closed. It does
// no I/O and returns at once; the caller closes what it returns.
//
// It returns an error for what can never work: a registrar that is nil or not
// valid, an endpoint that is not valid, that no client can reach, such as
// 0.0.0.0, or that the registry's format cannot hold.
//
// Whenever r fails after that, by an error, nil or a panic, Register calls it
// again after a random pause of up to 100 ms, doubling to 30 s, and short again
// after an attempt that lasted five seconds. It never gives up.
func Register(r Registrar, e Endpoint, opts ...RegisterOption) (*Registration, error) {
	if err := CanRegister(r, e); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	g := &Registration{
		cancel:  cancel,
		ended:   make(chan struct{}),
		changed: make(chan struct{}),
	}
	for _, o := range opts {
		if o == nil {
			cancel()
			return nil, errors.New("discovery: an option of Register is nil")
		}
		o(g)
	}
	go g.run(ctx, r, e) // Close ends it and waits for it
	return g, nil
}

// CanRegister returns why r can never register e, or nil: what [Register] returns at
// once. It connects to nothing.
func CanRegister(r Registrar, e Endpoint) error {
	if r == nil {
		return errors.New("discovery: the registrar is nil; make one with OpenRegistrar of a Mux, or with Registrar of a plugin")
	}
	var errs []error
	if v, ok := r.(interface{ Validate() error }); ok {
		errs = append(errs, v.Validate())
	}
	errs = append(errs, e.Validate(), reachable(e.Addr))
	err := errors.Join(errs...)
	if v, ok := r.(interface{ ValidateEndpoint(e Endpoint) error }); ok && err == nil {
		if err = v.ValidateEndpoint(e); err != nil {
			err = fmt.Errorf("discovery: %s cannot be registered: %w; change the endpoint, or choose a format that holds it", e.Addr, err)
		}
	}
	return err
}

// reachable returns an error for the unspecified address: a server listens
// there, and a client that dials it reaches itself.
func reachable(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil //nolint:nilerr // Validate reports that, and "unix:/path" has no host
	}
	host, _, _ = strings.Cut(host, "%")
	if ip, err := netip.ParseAddr(host); host == "*" || err == nil && ip.Unmap().IsUnspecified() {
		return fmt.Errorf("discovery: endpoint %q: %s stands for every address of the server, and clients cannot dial it; "+
			"register an address at which they reach the server", addr, host)
	}
	return nil
}

func (g *Registration) run(ctx context.Context, r Registrar, e Endpoint) {
	defer close(g.ended)
	has := false     // the registry may have the endpoint: it had, and no other registration since
	var failed error // of the last Register, until the next one
	err := rerun(ctx, "the registrar", func(ctx context.Context, a *attempt) error {
		failed = nil
		// The value does not change what ctx.Done returns, by which registrars know
		// the registration.
		ctx = withRetrying(ctx, func(err error) { a.do(func() { g.explain(e, err) }) })
		return r.Register(ctx, e, func() {
			a.do(func() { has = true; g.enter(StateRegistered, nil) })
		})
	}, func(err error, pause time.Duration) {
		failed = err
		next := fmt.Sprintf("trying again in %v", pause.Round(time.Millisecond))
		if errors.Is(err, ErrConflict) {
			has = false
			next = "waiting until the address is free"
		}
		g.enter(StateLost, fmt.Errorf("discovery: registering %s, %s: %w", e.Addr, next, err))
	}, func(end <-chan error) error { return <-end })
	if err == nil && has && failed != nil { // ctx ended in the pause before another Register
		err = fmt.Errorf("it may still be there, for the registrar has failed: %w", failed)
	}
	if err != nil {
		if errors.Is(err, context.Canceled) || errors.Is(err, ErrConflict) { // the entry is another registration's
			err = nil
		} else {
			err = fmt.Errorf("discovery: deregistering %s: %w", e.Addr, err)
		}
	}
	g.enter(StateDeregistered, err)
}

// explain notes why the registry does not have the endpoint yet.
func (g *Registration) explain(e Endpoint, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state == StateRegistering {
		g.err = fmt.Errorf("discovery: registering %s: %w", e.Addr, err)
	}
}

func (g *Registration) enter(s State, err error) {
	g.mu.Lock()
	same := g.state == s && err == nil
	if !same {
		g.state, g.err = s, err
		close(g.changed)
		g.changed = make(chan struct{})
	}
	g.mu.Unlock()
	if !same && g.onChange != nil {
		g.onChange(s, err)
	}
}

// State returns where the registration stands. The error is why it was lost, why
// the registry does not have the endpoint yet, or why the entry may still be in the
// registry although the registration is closed.
func (g *Registration) State() (State, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state, g.err
}

// Wait blocks until the endpoint is registered. When ctx ends before, it returns
// an error that matches the context's and has the last failure in it. It returns
// an error too when the registration is closed. A registrar that never calls
// registered keeps Wait waiting.
func (g *Registration) Wait(ctx context.Context) error {
	for {
		g.mu.Lock()
		state, err, changed := g.state, g.err, g.changed
		g.mu.Unlock()
		switch state {
		case StateRegistered:
			return nil
		case StateDeregistered:
			return errors.Join(errors.New("discovery: the registration is closed"), err)
		default: // not yet, or not any more
		}
		select {
		case <-changed:
		case <-ctx.Done():
			_, err := g.State()
			return errors.Join(fmt.Errorf("discovery: not registered: %w", ctx.Err()), err)
		}
	}
}

// Close removes the endpoint from the registry, and returns when that is done
// and nothing of the registration runs any more. It returns an error when the
// entry may still be there, or when ctx ends before; the removal then goes on.
// It may be called several times.
func (g *Registration) Close(ctx context.Context) error {
	g.cancel()
	select {
	case <-g.ended:
		_, err := g.State()
		return err
	case <-ctx.Done():
		return fmt.Errorf("discovery: still deregistering: %w", ctx.Err())
	}
}
