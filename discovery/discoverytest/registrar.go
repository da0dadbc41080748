package discoverytest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

// RegistrarHarness connects the suite of registrars to one kind of registry.
type RegistrarHarness struct {
	// NewPlace returns an empty place that nothing else uses. It is called
	// once for each case. Required.
	NewPlace func(ctx context.Context) (RegistrarPlace, error)
	// TTL is after what time the registry drops the entry of a registrar that
	// it hears nothing of, at the latest; the suite adds Timeout to it. Zero
	// means 10 s.
	TTL time.Duration
	// Timeout is how long the suite waits for anything else before it calls it
	// lost. Zero means 10 s.
	Timeout time.Duration
}

// RegistrarPlace is where endpoints are registered, and the suite's own way
// into that registry, past the registrar. It may have the capabilities of
// [Proxied], [Expirer] and those below.
type RegistrarPlace interface {
	// Registrar returns a new registrar of the place.
	Registrar() (discovery.Registrar, error)
	// Entries returns the set as the registry has it, of what is healthy where
	// it tells that.
	Entries(ctx context.Context) ([]core.Endpoint, error)
	// Close removes the place. All Registers have returned by then, or the
	// case has failed.
	Close() error
}

// Deleter is a [RegistrarPlace] where an operator can delete entries.
type Deleter interface {
	// Delete deletes the entry of an address, past its registrar.
	Delete(ctx context.Context, addr string) error
}

// Leaver is a [RegistrarPlace] where an entry can be that of a registrar which
// is dead, and not yet known to be.
type Leaver interface {
	// Leave makes an entry for e as the registrar would, with a session or
	// lease of its own. die ends that, by which such an entry goes.
	Leave(ctx context.Context, e core.Endpoint) (die func() error, err error)
}

// registrarRule is one case: a sentence of the contract and its check, as
// [rule] is for watchers.
type registrarRule struct {
	name  string
	says  string
	check func(ctx context.Context, x *registrarExam) error
}

// RunRegistrar examines the registrars of h, one subtest for each rule of
// [discovery.Registrar]. Like [Run], it must not run beside parallel tests.
func RunRegistrar(t *testing.T, h RegistrarHarness) {
	t.Helper()
	for _, r := range registrarRules() {
		t.Run(r.name, func(t *testing.T) {
			err := examineRegistrar(t.Context(), h, r)
			switch {
			case errors.Is(err, errors.ErrUnsupported):
				t.Skipf("not checked: %v\ncontract: %s", err, r.says)
			case err != nil:
				t.Errorf("%v\ncontract: %s", err, r.says)
			}
		})
	}
}

func examineRegistrar(ctx context.Context, h RegistrarHarness, r registrarRule) (err error) {
	x := &registrarExam{timeout: h.Timeout, ttl: h.TTL}
	if x.timeout == 0 {
		x.timeout = defaultTimeout
	}
	if x.ttl == 0 {
		x.ttl = defaultTimeout
	}
	ctx, cancel := context.WithCancel(ctx)
	if x.place, err = h.NewPlace(ctx); err != nil {
		cancel()
		return fmt.Errorf("no place to test at: %w", err)
	}
	defer func() {
		cancel()
		x.awaitTenures()
		if cerr := x.place.Close(); cerr != nil && err == nil {
			err = fmt.Errorf("closing the place: %w", cerr)
		}
	}()
	return r.check(ctx, x)
}

// registrarExam is what a check works with. Only its goroutine uses it.
type registrarExam struct {
	place   RegistrarPlace
	timeout time.Duration
	ttl     time.Duration
	tenures []*tenure
}

// tenure is one call of Register, or of it again and again as
// [discovery.Register] does.
type tenure struct {
	ctx       context.Context //nolint:containedctx // of the call that it stands for
	cancel    context.CancelFunc
	confirmed chan struct{} // has one element after Confirm
	ended     chan struct{} // closed when Register has returned
	err       error         // what it returned
}

// register calls Register of a new registrar.
func (x *registrarExam) register(ctx context.Context, e core.Endpoint) (*tenure, error) {
	r, err := x.registrar()
	if err != nil {
		return nil, err
	}
	return x.registerWith(ctx, r, e), nil
}

func (x *registrarExam) registrar() (discovery.Registrar, error) {
	r, err := x.place.Registrar()
	return r, tried("opening a registrar", err)
}

// registerWith calls Register of r, and again whenever it fails.
func (x *registrarExam) registerWith(ctx context.Context, r discovery.Registrar, e core.Endpoint) *tenure {
	n := &tenure{confirmed: make(chan struct{}, 1), ended: make(chan struct{})}
	n.ctx, n.cancel = context.WithCancel(ctx)
	x.tenures = append(x.tenures, n)
	confirm := func() {
		select {
		case n.confirmed <- struct{}{}:
		default:
		}
	}
	go func() { //nolint:contextcheck // n.ctx is made of ctx. It ends with Register; stop and awaitTenures wait for it
		defer close(n.ended)
		for {
			n.err = r.Register(discovery.WithConfirm(n.ctx, confirm), e)
			if n.ctx.Err() != nil || rest(n.ctx) != nil {
				return
			}
		}
	}()
	return n
}

// confirm waits until the registrar says that the registry has the endpoint.
func (x *registrarExam) confirm(n *tenure) error {
	late := time.NewTimer(x.timeout)
	defer late.Stop()
	select {
	case <-n.confirmed:
		return nil
	case <-n.ended:
		return fmt.Errorf("Register returned %v before it confirmed", n.err)
	case <-late.C:
		return fmt.Errorf("Register confirmed nothing within %v", x.timeout)
	}
}

// registered registers e and waits until that is confirmed.
func (x *registrarExam) registered(ctx context.Context, e core.Endpoint) (*tenure, error) {
	n, err := x.register(ctx, e)
	if err != nil {
		return nil, err
	}
	return n, x.confirm(n)
}

// stop ends a tenure and checks how Register ends.
func (n *tenure) stop() error {
	const limit = discovery.DeregisterTimeout + prompt
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

// withdrawn ends a tenure that nothing keeps from removing its entry.
func (n *tenure) withdrawn() error {
	if err := n.stop(); err != nil {
		return err
	}
	if n.err != nil && !errors.Is(n.err, n.ctx.Err()) {
		return fmt.Errorf("Register returned %q, which does not match its context's error %q", n.err, n.ctx.Err())
	}
	return nil
}

func (x *registrarExam) awaitTenures() {
	late := time.NewTimer(discovery.DeregisterTimeout + prompt)
	defer late.Stop()
	for _, n := range x.tenures {
		n.cancel()
	}
	for _, n := range x.tenures {
		select {
		case <-n.ended:
		case <-late.C:
			return
		}
	}
}

func (x *registrarExam) entries(ctx context.Context) ([]core.Endpoint, error) {
	ctx, cancel := context.WithTimeout(ctx, x.timeout)
	defer cancel()
	got, err := x.place.Entries(ctx)
	return got, tried("reading the registry", err)
}

// holds checks that the registry has want now.
func (x *registrarExam) holds(ctx context.Context, want ...core.Endpoint) error {
	got, err := x.entries(ctx)
	if err != nil {
		return err
	}
	if !same(got, want) {
		return fmt.Errorf("the registry has %s, want %s", show(got), show(want))
	}
	return nil
}

// await waits until the registry has want.
func (x *registrarExam) await(ctx context.Context, limit time.Duration, want ...core.Endpoint) error {
	var err error
	begin := time.Now()
	for time.Since(begin) < limit {
		if err = x.holds(ctx, want...); err == nil || errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		if err := wait(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("after %v: %w", limit, err)
}

// stays checks that the registry has want for a while.
func (x *registrarExam) stays(ctx context.Context, d time.Duration, want ...core.Endpoint) error {
	for begin := time.Now(); time.Since(begin) < d; {
		if err := x.holds(ctx, want...); err != nil {
			return fmt.Errorf("after %v: %w", time.Since(begin).Round(time.Millisecond), err)
		}
		if err := wait(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}
