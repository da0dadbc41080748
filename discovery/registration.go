package discovery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/retry"
)

// Phase is where a registration stands.
type Phase uint8

const (
	// Registering: the registry was not heard to have the endpoint yet.
	Registering Phase = iota
	// Registered: the registry has the endpoint.
	Registered
	// Lost: the last attempt to register, or to stay registered, failed;
	// there will be another.
	Lost
	// Deregistered: the registration was closed, and nothing of it runs.
	Deregistered
)

// String returns the name of the phase in lower case.
func (p Phase) String() string {
	switch p {
	case Registering:
		return "registering"
	case Registered:
		return "registered"
	case Lost:
		return "lost"
	case Deregistered:
		return "deregistered"
	default:
		return "unknown phase"
	}
}

// Registration is an endpoint that is kept in a registry. Its methods are safe
// for concurrent use.
type Registration struct {
	cancel   context.CancelFunc
	onChange func(Phase, error)
	ended    chan struct{} // closed when the last goroutine ends

	mu      sync.Mutex
	phase   Phase
	err     error
	changed chan struct{} // closed and replaced by each change
}

// RegisterOption sets one parameter of a [Registration].
type RegisterOption func(*Registration)

// OnChange sets who is told of each phase that the registration enters, after
// the first; f is called from one goroutine at a time, in order, and holds the
// registration up. The error is why a registration was lost, or why the entry
// may still be in the registry although it is closed.
func OnChange(f func(Phase, error)) RegisterOption {
	return func(r *Registration) { r.onChange = f }
}

// Register keeps e registered with r until the [Registration] is closed, and
// returns at once. Whenever r fails, or panics, it is asked again after a
// pause: a random one of up to 100 ms, doubling to 30 s, and short again after
// an attempt that lasted five seconds. It never gives up.
func Register(r Registrar, e core.Endpoint, opts ...RegisterOption) *Registration {
	ctx, cancel := context.WithCancel(context.Background())
	g := &Registration{
		cancel:   cancel,
		onChange: func(Phase, error) {},
		ended:    make(chan struct{}),
		changed:  make(chan struct{}),
	}
	for _, o := range opts {
		o(g)
	}
	go g.run(ctx, r, e) // Close ends it and waits for it
	return g
}

func (g *Registration) run(ctx context.Context, r Registrar, e core.Endpoint) {
	defer close(g.ended)
	err := retry.Forever(ctx, func(ctx context.Context) error {
		attempt := &attempt{g: g}
		defer attempt.end()
		return r.Register(WithConfirm(ctx, attempt.confirm), e)
	}, func(err error, pause time.Duration) {
		g.enter(Lost, fmt.Errorf("discovery: registering %s, trying again in %v: %w",
			e.Addr, pause.Round(time.Millisecond), err))
	})
	if err != nil {
		if errors.Is(err, context.Canceled) {
			err = nil
		} else {
			err = fmt.Errorf("discovery: deregistering %s: %w", e.Addr, err)
		}
	}
	g.enter(Deregistered, err)
}

// attempt is one call of a registrar. What it confirms after its end does not
// count.
type attempt struct {
	g     *Registration
	mu    sync.Mutex
	ended bool
}

func (a *attempt) confirm() {
	a.mu.Lock()
	ended := a.ended
	a.mu.Unlock()
	if !ended {
		a.g.enter(Registered, nil)
	}
}

func (a *attempt) end() {
	a.mu.Lock()
	a.ended = true
	a.mu.Unlock()
}

func (g *Registration) enter(p Phase, err error) {
	g.mu.Lock()
	same := g.phase == p && err == nil
	if !same {
		g.phase, g.err = p, err
		close(g.changed)
		g.changed = make(chan struct{})
	}
	g.mu.Unlock()
	if !same {
		g.onChange(p, err)
	}
}

// Phase returns where the registration stands, and the error that belongs to
// Lost and Deregistered.
func (g *Registration) Phase() (Phase, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.phase, g.err
}

// Wait blocks until the endpoint is registered. It returns an error when ctx
// ends before, with the last failure in it, or when the registration was
// closed. With a registrar that confirms nothing it waits until one of the two.
func (g *Registration) Wait(ctx context.Context) error {
	for {
		g.mu.Lock()
		phase, err, changed := g.phase, g.err, g.changed
		g.mu.Unlock()
		switch phase {
		case Registered:
			return nil
		case Deregistered:
			return errors.Join(errors.New("discovery: the registration is closed"), err)
		default: // not yet, or not any more
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("discovery: not registered: %w", ctx.Err()), err)
		}
	}
}

// Close removes the endpoint from the registry and waits until that is done
// and nothing of the registration runs any more. It returns an error when the
// entry may still be there, or when ctx ended before; the removal then goes on.
// It may be called several times.
func (g *Registration) Close(ctx context.Context) error {
	g.cancel()
	select {
	case <-g.ended:
		_, err := g.Phase()
		return err
	case <-ctx.Done():
		return fmt.Errorf("discovery: still deregistering: %w", ctx.Err())
	}
}
