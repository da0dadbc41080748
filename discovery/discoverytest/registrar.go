package discoverytest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// registration is a registrar that registers one endpoint, again whenever that
// fails, as [discovery.Register] does.
type registration struct {
	ctx        context.Context //nolint:containedctx // the context of the calls that the registration stands for
	cancel     context.CancelFunc
	registered chan struct{} // has one element after Register has called registered
	ended      chan struct{} // closed when Register has returned for good
	err        error         // what Register returned last
}

// registrar returns a new registrar.
func (r *run) registrar() (discovery.Registrar, error) {
	if r.Registrar == nil {
		return nil, required("Registrar")
	}
	registrar, err := r.Registrar()
	if err == nil && registrar == nil {
		err = errors.New("the returned registrar is nil")
	}
	return registrar, fieldError("Registrar", err)
}

// register starts a registration with a new registrar.
func (r *run) register(ctx context.Context, e discovery.Endpoint) (*registration, error) {
	registrar, err := r.registrar()
	if err != nil {
		return nil, err
	}
	return r.registerWith(ctx, registrar, e), nil
}

// registerWith starts a registration with registrar.
func (r *run) registerWith(ctx context.Context, registrar discovery.Registrar, e discovery.Endpoint) *registration {
	n := startRegistration(ctx, registrar, e)
	r.registrations = append(r.registrations, n)
	return n
}

// startRegistration calls Register in a goroutine. stop and
// run.awaitRegistrations wait for it.
func startRegistration(ctx context.Context, r discovery.Registrar, e discovery.Endpoint) *registration {
	n := &registration{registered: make(chan struct{}, 1), ended: make(chan struct{})}
	n.ctx, n.cancel = context.WithCancel(ctx)
	registered := func() {
		select {
		case n.registered <- struct{}{}:
		default:
		}
	}
	go func() { // ends with its context; awaitRegistrations waits for it
		defer close(n.ended)
		for {
			n.err = r.Register(n.ctx, e, registered)
			if n.ctx.Err() != nil || waitQuiet(n.ctx) != nil {
				return
			}
		}
	}()
	return n
}

// awaitRegistered waits until Register calls registered.
func (r *run) awaitRegistered(n *registration) error {
	late := time.NewTimer(r.Timeout)
	defer late.Stop()
	select {
	case <-n.registered:
		return nil
	case <-n.ended:
		return fmt.Errorf("Register returned %v before it called registered", n.err)
	case <-late.C:
		return fmt.Errorf("Register did not call registered within %v", r.Timeout)
	}
}

// registerAndWait starts a registration with a new registrar, and waits until
// Register calls registered.
func (r *run) registerAndWait(ctx context.Context, e discovery.Endpoint) (*registration, error) {
	n, err := r.register(ctx, e)
	if err != nil {
		return nil, err
	}
	return n, r.awaitRegistered(n)
}

// stop cancels the registration and checks that Register returns in time.
func (n *registration) stop() error {
	const limit = discovery.DeregisterTimeout + returnTimeout
	n.cancel()
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-n.ended:
		return nil
	case <-late.C:
		return fmt.Errorf("Register had not returned %v after its context ended", limit)
	}
}

// deregister stops the registration while nothing keeps the registrar from
// removing the entry, and checks what Register returns.
func (n *registration) deregister() error {
	if err := n.stop(); err != nil {
		return err
	}
	if n.err != nil && !errors.Is(n.err, n.ctx.Err()) {
		return fmt.Errorf("Register returned %q, which does not match its context's error %q", n.err, n.ctx.Err())
	}
	return nil
}

// awaitRegistrations waits for registrations whose context has ended, so that
// the fixture is not closed before them.
func (r *run) awaitRegistrations() {
	late := time.NewTimer(discovery.DeregisterTimeout + returnTimeout)
	defer late.Stop()
	for _, n := range r.registrations {
		n.cancel()
	}
	for _, n := range r.registrations {
		select {
		case <-n.ended:
		case <-late.C:
			return
		}
	}
}

// entries returns the set that the registry holds.
func (r *run) entries(ctx context.Context) ([]discovery.Endpoint, error) {
	if r.Entries == nil {
		return nil, required("Entries")
	}
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	got, err := r.Entries(ctx)
	return got, fieldError("Entries", err)
}

// holds checks that the registry holds want now.
func (r *run) holds(ctx context.Context, want ...discovery.Endpoint) error {
	got, err := r.entries(ctx)
	if err != nil {
		return err
	}
	if !same(got, want) {
		return fmt.Errorf("the registry holds %s, want %s", show(got), show(want))
	}
	return nil
}

// awaitEntries waits until the registry holds want.
func (r *run) awaitEntries(ctx context.Context, limit time.Duration, want ...discovery.Endpoint) error {
	var err error
	begin := time.Now()
	for time.Since(begin) < limit {
		if err = r.holds(ctx, want...); err == nil || errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		if err := wait(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("after %v: %w", limit, err)
}

// stays checks that the registry holds want for the time d.
func (r *run) stays(ctx context.Context, d time.Duration, want ...discovery.Endpoint) error {
	for begin := time.Now(); time.Since(begin) < d; {
		if err := r.holds(ctx, want...); err != nil {
			return fmt.Errorf("after %v: %w", time.Since(begin).Round(time.Millisecond), err)
		}
		if err := wait(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}
