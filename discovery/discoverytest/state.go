package discoverytest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// stateRules returns the rules about what a registration by discovery.Register
// reports: of others of the same address, and of the registry.
func stateRules() []rule {
	return []rule{
		{
			name:        "NewerWins",
			description: "of two live registrations of one address, the newer has the entry at all times; the older reports a conflict, and its end changes nothing",
			check:       func(ctx context.Context, r *run) error { return checkNewerWins(ctx, r, 0) },
		},
		{
			name:        "NewerWinsChanged",
			description: "the same if the two registrations have different attributes",
			check:       func(ctx context.Context, r *run) error { return checkNewerWins(ctx, r, 3) },
		},
		{
			name:        "OlderWaits",
			description: "a registration that has reported a conflict registers again when the newer registration has ended",
			check:       checkOlderWaits,
		},
		{
			name:        "ConflictAfterOutage",
			description: "a registration that returns from an outage leaves the entry to one that was made meanwhile, and reports a conflict",
			check:       checkConflictAfterOutage,
		},
		{
			name:        "ReportsLoss",
			description: "a registration reports within the TTL that the registry does not hear from it any more, and then that it is back",
			check:       checkReportsLoss,
		},
	}
}

// claim is a registration by discovery.Register.
type claim struct {
	*discovery.Registration
	e discovery.Endpoint

	mu      sync.Mutex
	changes []string // of its state, for errors
}

// claim starts a registration with the registrar that newRegistrar returns, and
// waits until the endpoint is registered.
func (r *run) claim(ctx context.Context, newRegistrar func() (discovery.Registrar, error), e discovery.Endpoint) (*claim, error) {
	registrar, err := newRegistrar()
	if err != nil {
		return nil, err
	}
	c := &claim{e: e}
	//nolint:contextcheck // awaitClaims ends the registration
	c.Registration, err = discovery.Register(registrar, e, discovery.OnChange(func(s discovery.State, err error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		text := s.String()
		if err != nil {
			text += ": " + err.Error()
		}
		c.changes = append(c.changes, text)
	}))
	if err != nil {
		return nil, err
	}
	r.claims = append(r.claims, c)
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	return c, c.Wait(ctx)
}

// rival returns a new registrar that shares nothing with those of registrar.
func (r *run) rival() (discovery.Registrar, error) {
	if r.Rival == nil {
		return nil, missing("Rival")
	}
	registrar, err := r.Rival()
	if err == nil && registrar == nil {
		err = errors.New("the returned registrar is nil")
	}
	return registrar, fieldError("Rival", err)
}

// steady checks that the registration has been registered, and nothing else
// since.
func (c *claim) steady() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.changes) != 1 || c.changes[0] != discovery.StateRegistered.String() {
		return fmt.Errorf("the states of the newer registration of %s are %q, want registered alone", c.e.Addr, c.changes)
	}
	return nil
}

// awaitConflict waits until the registration reports a conflict.
func (c *claim) awaitConflict(ctx context.Context, limit time.Duration) error {
	conflict := func() bool {
		state, err := c.State()
		return state == discovery.StateLost && errors.Is(err, discovery.ErrConflict)
	}
	if !poll(ctx, limit, conflict) {
		state, err := c.State()
		return fmt.Errorf("after %v, the older registration of %s is %v with error %v, want lost with ErrConflict", limit, c.e.Addr, state, err)
	}
	return nil
}

// close ends the registration and checks that Register has removed its entry.
func (c *claim) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, discovery.DeregisterTimeout+returnTimeout)
	defer cancel()
	return c.Close(ctx)
}

// awaitClaims ends all registrations. ctx may have ended.
func (r *run) awaitClaims(ctx context.Context) {
	for _, c := range r.claims {
		_ = c.close(context.WithoutCancel(ctx))
	}
}

// contest is an older and a newer registration of one address.
type contest struct{ older, newer *claim }

// contests registers two addresses twice: once by two registrars of one
// program, and once by two programs.
func (r *run) contests(ctx context.Context, weight float64) ([]contest, error) {
	if r.Rival == nil {
		return nil, missing("Rival")
	}
	var all []contest
	for i, newer := range []func() (discovery.Registrar, error){r.rival, r.registrar} {
		older, err := r.claim(ctx, r.registrar, ep(i))
		if err != nil {
			return nil, err
		}
		e := ep(i)
		e.Weight = weight
		c, err := r.claim(ctx, newer, e)
		if err != nil {
			return nil, err
		}
		all = append(all, contest{older, c})
	}
	return all, nil
}

// newest returns the endpoints of the newer registrations.
func newest(all []contest) []discovery.Endpoint {
	var set []discovery.Endpoint
	for _, c := range all {
		set = append(set, c.newer.e)
	}
	return set
}

func checkNewerWins(ctx context.Context, r *run, weight float64) error {
	all, err := r.contests(ctx, weight)
	if err != nil {
		return err
	}
	want := newest(all)
	for _, c := range all {
		if err := c.older.awaitConflict(ctx, r.Timeout); err != nil {
			return err
		}
	}
	// Longer than the TTL: the older keeps no entry alive that it needs.
	if err := r.stays(ctx, r.TTL+10*quietTime, want...); err != nil {
		return fmt.Errorf("with both registrations: %w", err)
	}
	err = r.holdsDuring(ctx, want, func() error {
		for _, c := range all {
			if err := c.older.close(ctx); err != nil {
				return err
			}
		}
		return wait(ctx, r.TTL+10*quietTime)
	})
	if err != nil {
		return fmt.Errorf("from the end of the older registrations on: %w", err)
	}
	for _, c := range all {
		if err := errors.Join(c.newer.steady(), c.newer.close(ctx)); err != nil {
			return err
		}
	}
	return r.stays(ctx, quietTime)
}

func checkOlderWaits(ctx context.Context, r *run) error {
	all, err := r.contests(ctx, 3)
	if err != nil {
		return err
	}
	var want []discovery.Endpoint
	for _, c := range all {
		want = append(want, c.older.e)
		if err := c.older.awaitConflict(ctx, r.Timeout); err != nil {
			return err
		}
	}
	// The older waits for the end of the newer, and not for a pause.
	if err := r.stays(ctx, 10*quietTime, newest(all)...); err != nil {
		return err
	}
	for _, c := range all {
		if err := c.newer.close(ctx); err != nil {
			return err
		}
	}
	if err := r.awaitEntries(ctx, r.Timeout, want...); err != nil {
		return fmt.Errorf("after the end of the newer registrations: %w", err)
	}
	if err := r.stays(ctx, 10*quietTime, want...); err != nil {
		return err
	}
	for _, c := range all {
		ctx, cancel := context.WithTimeout(ctx, r.Timeout)
		err := errors.Join(c.older.Wait(ctx), c.older.close(ctx))
		cancel()
		if err != nil {
			return err
		}
	}
	return r.stays(ctx, quietTime)
}

func checkConflictAfterOutage(ctx context.Context, r *run) error {
	if r.Rival == nil {
		return missing("Rival")
	}
	older, err := r.claim(ctx, r.registrar, ep(0))
	if err != nil {
		return err
	}
	restore, err := r.cut(ctx)
	if err != nil {
		return err
	}
	e := ep(0)
	e.Weight = 3
	err = r.awaitEntries(ctx, r.TTL+r.Timeout)
	var newer *claim
	if err == nil {
		newer, err = r.claim(ctx, r.rival, e)
	}
	if err := errors.Join(err, restore()); err != nil {
		return err
	}
	// The pause between two attempts grows with the outage.
	if err := older.awaitConflict(ctx, 2*(r.TTL+r.Timeout)); err != nil {
		return err
	}
	if err := r.stays(ctx, 10*quietTime, e); err != nil {
		return err
	}
	return r.holdsDuring(ctx, []discovery.Endpoint{e}, func() error {
		return errors.Join(older.close(ctx), wait(ctx, 10*quietTime), newer.steady())
	})
}

// holdsDuring checks that the registry holds want, again and again until f has
// returned.
func (r *run) holdsDuring(ctx context.Context, want []discovery.Endpoint, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }() // ends with f, for which holdsDuring waits
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	var missed error
	for begin := time.Now(); ; {
		if err := r.holds(ctx, want...); err != nil && missed == nil {
			missed = fmt.Errorf("after %v: %w", time.Since(begin).Round(time.Millisecond), err)
		}
		select {
		case err := <-done:
			return errors.Join(missed, err)
		case <-tick.C:
		}
	}
}

func checkReportsLoss(ctx context.Context, r *run) error {
	if r.LostWithin == 0 {
		return missing("LostWithin")
	}
	c, err := r.claim(ctx, r.registrar, ep(0))
	if err != nil {
		return err
	}
	for name, f := range map[string]fault{"Cut": r.cut, "Hang": r.hang} {
		restore, err := f(ctx)
		if err != nil {
			return err
		}
		lost := poll(ctx, r.LostWithin+returnTimeout, func() bool { s, _ := c.State(); return s == discovery.StateLost })
		if err := restore(); err != nil {
			return err
		}
		if !lost {
			return fmt.Errorf("%v after %s, the registration is still registered", r.LostWithin+returnTimeout, name)
		}
		// The pause between two attempts grows with the outage.
		back, cancel := context.WithTimeout(ctx, 2*(r.TTL+r.Timeout))
		err = c.Wait(back)
		cancel()
		if err != nil {
			return fmt.Errorf("after the end of %s: %w", name, err)
		}
		if err := r.holds(ctx, ep(0)); err != nil {
			return err
		}
	}
	return c.close(ctx)
}
