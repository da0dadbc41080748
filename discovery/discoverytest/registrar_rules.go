package discoverytest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/internal/leak"
)

// registrarRules returns the rules of RunRegistrar in the order of their
// subtests.
func registrarRules() []rule {
	return append([]rule{
		{
			name:        "Registers",
			description: "when Register calls registered, the registry holds the endpoint",
			check:       checkRegisters,
		},
		{
			name:        "Attributes",
			description: "a registrar registers weight, zone and attributes as they are",
			check:       checkRegistersAttributes,
		},
		{
			name:        "Deregisters",
			description: "when Register has returned after its context's end, the registry no longer holds the endpoint",
			check:       checkDeregisters,
		},
		{
			name:        "Final",
			description: "a registration that is canceled at any time leaves no entry, and none comes back",
			check:       checkFinal,
		},
		{
			name:        "Several",
			description: "a registrar can register several endpoints at a time, and deregister each alone",
			check:       checkSeveral,
		},
		{
			name:        "Again",
			description: "an endpoint can be registered again at once, with changed attributes",
			check:       checkAgain,
		},
		{
			name:        "TakesOver",
			description: "a registrar takes over the entry of a crashed one: the endpoint stays when that entry expires",
			check:       checkTakesOver,
		},
		{
			name:        "Deleted",
			description: "a registrar creates an entry again that an operator has deleted",
			check:       checkDeleted,
		},
		{
			name:        "ExpiredRegistrar",
			description: "a registrar registers the endpoint again after its session or lease expired",
			check:       checkExpiredRegistrar,
		},
		{
			name:        "Outage",
			description: "a registrar registers the endpoint again after an outage longer than the TTL",
			check:       checkOutage,
		},
		{
			name:        "BrokenConnection",
			description: "a registration survives a broken connection",
			check:       checkBrokenConnection,
		},
		{
			name:        "Crash",
			description: "within the TTL, the registry drops the endpoint of a crashed registrar",
			check:       checkCrash,
		},
		{
			name:        "StopHung",
			description: "Register returns within 2 s of its context's end while the registry does not answer",
			check:       checkStopHung,
		},
		{
			name:        "StopCut",
			description: "Register returns within 2 s of its context's end while the registry refuses connections",
			check:       checkStopCut,
		},
		{
			name:        "NothingLeft",
			description: "registrations that have ended leave no goroutine",
			check:       checkNothingLeft,
		},
	}, stateRules()...)
}

func checkRegisters(ctx context.Context, r *run) error {
	if _, err := r.registerAndWait(ctx, ep(0)); err != nil {
		return err
	}
	return r.stays(ctx, quietTime, ep(0))
}

func checkRegistersAttributes(ctx context.Context, r *run) error {
	e := discovery.Endpoint{Addr: "[2001:db8::1]:9090", Weight: 3, Zone: "東京-1", Attrs: map[string]string{"version": "2", "kind": "a b/c"}}
	if _, err := r.registerAndWait(ctx, e); err != nil {
		return err
	}
	return r.holds(ctx, e)
}

func checkDeregisters(ctx context.Context, r *run) error {
	n, err := r.registerAndWait(ctx, ep(0))
	if err != nil {
		return err
	}
	if err := n.deregister(); err != nil {
		return err
	}
	return r.stays(ctx, quietTime)
}

// checkFinal cancels registrations while they are being made.
func checkFinal(ctx context.Context, r *run) error {
	const rounds = 20
	for i := range rounds {
		n, err := r.register(ctx, ep(0))
		if err != nil {
			return err
		}
		if err := wait(ctx, time.Duration(i)*time.Millisecond); err != nil {
			return err
		}
		if err := n.stop(); err != nil {
			return err
		}
		if err := r.holds(ctx); err != nil {
			return fmt.Errorf("canceled after %d ms: %w", i, err)
		}
	}
	return r.stays(ctx, 3*quietTime)
}

func checkSeveral(ctx context.Context, r *run) error {
	registrar, err := r.registrar()
	if err != nil {
		return err
	}
	var all []*registration
	for i := range 3 {
		all = append(all, r.registerWith(ctx, registrar, ep(i)))
	}
	for _, n := range all {
		if err := r.awaitRegistered(n); err != nil {
			return err
		}
	}
	if err := r.holds(ctx, eps(0, 3)...); err != nil {
		return err
	}
	if err := all[1].deregister(); err != nil {
		return err
	}
	return r.stays(ctx, 3*quietTime, ep(0), ep(2))
}

func checkAgain(ctx context.Context, r *run) error {
	registrar, err := r.registrar()
	if err != nil {
		return err
	}
	for i := range 3 {
		e := ep(0)
		e.Weight = float64(i + 1)
		n := r.registerWith(ctx, registrar, e)
		if err := r.awaitRegistered(n); err != nil {
			return err
		}
		if err := r.holds(ctx, e); err != nil {
			return err
		}
		if err := n.deregister(); err != nil {
			return err
		}
	}
	return r.holds(ctx)
}

func checkTakesOver(ctx context.Context, r *run) error {
	if r.PutOrphan == nil {
		return missing("PutOrphan")
	}
	expire, err := disturb(ctx, "PutOrphan", func(ctx context.Context) (func() error, error) { return r.PutOrphan(ctx, ep(0)) })
	if err != nil {
		return err
	}
	n, err := r.registerAndWait(ctx, ep(0))
	if err != nil {
		return errors.Join(err, expire())
	}
	if err := errors.Join(r.holds(ctx, ep(0)), expire()); err != nil {
		return err
	}
	if err := r.stays(ctx, 10*quietTime, ep(0)); err != nil {
		return err
	}
	if err := n.deregister(); err != nil {
		return err
	}
	return r.stays(ctx, quietTime)
}

func checkDeleted(ctx context.Context, r *run) error {
	if r.DeleteEntry == nil {
		return missing("DeleteEntry")
	}
	n, err := r.registerAndWait(ctx, ep(0))
	if err != nil {
		return err
	}
	for range 3 {
		if err := r.DeleteEntry(ctx, ep(0).Addr); err != nil {
			return fieldError("DeleteEntry", err)
		}
		if err := r.awaitEntries(ctx, r.Timeout, ep(0)); err != nil {
			return err
		}
	}
	if err := n.deregister(); err != nil {
		return err
	}
	return r.stays(ctx, quietTime)
}

func checkExpiredRegistrar(ctx context.Context, r *run) error {
	if r.ExpireSessions == nil {
		return missing("ExpireSessions")
	}
	n, err := r.registerAndWait(ctx, ep(0))
	if err != nil {
		return err
	}
	if err := r.ExpireSessions(ctx); err != nil {
		return fieldError("ExpireSessions", err)
	}
	if err := r.awaitEntries(ctx, r.Timeout, ep(0)); err != nil {
		return err
	}
	if err := r.stays(ctx, 3*quietTime, ep(0)); err != nil {
		return err
	}
	if err := n.deregister(); err != nil {
		return err
	}
	return r.stays(ctx, quietTime)
}

func checkOutage(ctx context.Context, r *run) error {
	n, err := r.registerAndWait(ctx, ep(0))
	if err != nil {
		return err
	}
	restore, err := r.cut(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(r.awaitEntries(ctx, r.TTL+r.Timeout), restore()); err != nil {
		return fmt.Errorf("during the outage: %w", err)
	}
	if err := r.awaitEntries(ctx, r.Timeout, ep(0)); err != nil {
		return err
	}
	if err := n.deregister(); err != nil {
		return err
	}
	return r.stays(ctx, quietTime)
}

func checkBrokenConnection(ctx context.Context, r *run) error {
	if r.Break == nil {
		return missing("Break")
	}
	if _, err := r.registerAndWait(ctx, ep(0)); err != nil {
		return err
	}
	for range 3 {
		if err := r.Break(ctx); err != nil {
			return fieldError("Break", err)
		}
		if err := r.stays(ctx, 4*quietTime, ep(0)); err != nil {
			return err
		}
	}
	// Longer than the TTL: the registry drops an entry that is not kept alive.
	return r.stays(ctx, r.TTL+4*quietTime, ep(0))
}

func checkCrash(ctx context.Context, r *run) error {
	n, err := r.registerAndWait(ctx, ep(0))
	if err != nil {
		return err
	}
	// A crashed registrar does not deregister, so the registry must not hear it.
	restore, err := r.cut(ctx)
	if err != nil {
		return err
	}
	return errors.Join(n.stop(), r.awaitEntries(ctx, r.TTL+r.Timeout), restore())
}

func checkStopHung(ctx context.Context, r *run) error { return checkStopDuring(ctx, r, r.hang) }

func checkStopCut(ctx context.Context, r *run) error { return checkStopDuring(ctx, r, r.cut) }

// checkStopDuring stops two registrations during a fault. One had succeeded
// before the fault, the other one never gets an answer.
func checkStopDuring(ctx context.Context, r *run, f fault) error {
	old, err := r.registerAndWait(ctx, ep(0))
	if err != nil {
		return err
	}
	restore, err := f(ctx)
	if err != nil {
		return err
	}
	fresh, err := r.register(ctx, ep(1))
	if err != nil {
		return errors.Join(err, restore())
	}
	if err := waitQuiet(ctx); err != nil {
		return errors.Join(err, restore())
	}
	return errors.Join(old.stop(), fresh.stop(), restore())
}

func checkNothingLeft(ctx context.Context, r *run) error {
	const rounds = 20
	once := func() error {
		n, err := r.registerAndWait(ctx, ep(0))
		if err != nil {
			return err
		}
		return n.deregister()
	}
	if err := once(); err != nil { // before the count: the fixture may start goroutines of its own
		return err
	}
	if err := r.holds(ctx); err != nil {
		return err
	}
	before := leak.Goroutines()
	for range rounds {
		if err := once(); err != nil {
			return err
		}
	}
	return r.awaitGoroutines(ctx, before)
}
