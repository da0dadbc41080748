package discoverytest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

func registrarRules() []registrarRule {
	return []registrarRule{
		{
			name:  "Registers",
			says:  "when Register confirms, the registry has the endpoint",
			check: checkRegisters,
		},
		{
			name:  "Attributes",
			says:  "weight, zone and attributes are registered as they are",
			check: checkRegistersAttributes,
		},
		{
			name:  "Deregisters",
			says:  "when Register has returned after its context's end, the registry has the endpoint no more",
			check: checkDeregisters,
		},
		{
			name:  "Final",
			says:  "a registration that ended at any moment leaves nothing, and nothing comes back",
			check: checkFinal,
		},
		{
			name:  "Several",
			says:  "several endpoints can be registered at a time, and each ends alone",
			check: checkSeveral,
		},
		{
			name:  "Again",
			says:  "an endpoint can be registered again at once, with what is new of it",
			check: checkAgain,
		},
		{
			name:  "TakesOver",
			says:  "an entry that a dead registrar left is taken over: when it would go, the endpoint stays",
			check: checkTakesOver,
		},
		{
			name:  "Deleted",
			says:  "an entry that an operator deletes is made again",
			check: checkDeleted,
		},
		{
			name:  "ExpiredRegistrar",
			says:  "after its session or lease expired the endpoint is registered again",
			check: checkExpiredRegistrar,
		},
		{
			name:  "Outage",
			says:  "after an outage longer than the TTL the endpoint is registered again",
			check: checkOutage,
		},
		{
			name:  "BrokenLink",
			says:  "a connection that breaks and can be made again does not cost the registration",
			check: checkBrokenLink,
		},
		{
			name:  "Crash",
			says:  "the registry drops an endpoint whose registrar crashed, within the TTL",
			check: checkCrash,
		},
		{
			name:  "StopHung",
			says:  "with a registry that does not answer, Register returns within 2 s of its context's end",
			check: stopDuring(hang),
		},
		{
			name:  "StopCut",
			says:  "with a registry that refuses connections, Register returns within 2 s of its context's end",
			check: stopDuring(cut),
		},
		{
			name:  "NothingLeft",
			says:  "registrations that ended leave no goroutine",
			check: checkNothingLeft,
		},
	}
}

func checkRegisters(ctx context.Context, x *registrarExam) error {
	if _, err := x.registered(ctx, ep(0)); err != nil {
		return err
	}
	return x.stays(ctx, quiet, ep(0))
}

func checkRegistersAttributes(ctx context.Context, x *registrarExam) error {
	e := core.Endpoint{Addr: "[2001:db8::1]:9090", Weight: 3, Zone: "東京-1", Attrs: map[string]string{"version": "2", "kind": "a b/c"}}
	if _, err := x.registered(ctx, e); err != nil {
		return err
	}
	return x.holds(ctx, e)
}

func checkDeregisters(ctx context.Context, x *registrarExam) error {
	n, err := x.registered(ctx, ep(0))
	if err != nil {
		return err
	}
	if err := n.withdrawn(); err != nil {
		return err
	}
	return x.stays(ctx, quiet)
}

// checkFinal ends registrations on the way to be made.
func checkFinal(ctx context.Context, x *registrarExam) error {
	const rounds = 20
	for i := range rounds {
		n, err := x.register(ctx, ep(0))
		if err != nil {
			return err
		}
		if err := wait(ctx, time.Duration(i)*time.Millisecond); err != nil {
			return err
		}
		if err := n.stop(); err != nil {
			return err
		}
		if err := x.holds(ctx); err != nil {
			return fmt.Errorf("ended after %d ms: %w", i, err)
		}
	}
	return x.stays(ctx, 3*quiet)
}

func checkSeveral(ctx context.Context, x *registrarExam) error {
	r, err := x.registrar()
	if err != nil {
		return err
	}
	var all []*tenure
	for i := range 3 {
		all = append(all, x.registerWith(ctx, r, ep(i)))
	}
	for _, n := range all {
		if err := x.confirm(n); err != nil {
			return err
		}
	}
	if err := x.holds(ctx, eps(0, 3)...); err != nil {
		return err
	}
	if err := all[1].withdrawn(); err != nil {
		return err
	}
	return x.stays(ctx, 3*quiet, ep(0), ep(2))
}

func checkAgain(ctx context.Context, x *registrarExam) error {
	r, err := x.registrar()
	if err != nil {
		return err
	}
	for i := range 3 {
		e := ep(0)
		e.Weight = float64(i + 1)
		n := x.registerWith(ctx, r, e)
		if err := x.confirm(n); err != nil {
			return err
		}
		if err := x.holds(ctx, e); err != nil {
			return err
		}
		if err := n.withdrawn(); err != nil {
			return err
		}
	}
	return x.holds(ctx)
}

func checkTakesOver(ctx context.Context, x *registrarExam) error {
	l, ok := x.place.(Leaver)
	if !ok {
		return lacks("Leaver", "hold the entry of a dead registrar")
	}
	die, err := l.Leave(ctx, ep(0))
	if err != nil {
		return tried("leaving an entry", err)
	}
	die = once("ending what the dead registrar left", die)
	n, err := x.registered(ctx, ep(0))
	if err != nil {
		return errors.Join(err, die())
	}
	if err := errors.Join(x.holds(ctx, ep(0)), die()); err != nil {
		return err
	}
	if err := x.stays(ctx, 10*quiet, ep(0)); err != nil {
		return err
	}
	if err := n.withdrawn(); err != nil {
		return err
	}
	return x.stays(ctx, quiet)
}

func checkDeleted(ctx context.Context, x *registrarExam) error {
	d, ok := x.place.(Deleter)
	if !ok {
		return lacks("Deleter", "delete an entry past its registrar")
	}
	n, err := x.registered(ctx, ep(0))
	if err != nil {
		return err
	}
	for range 3 {
		if err := tried("deleting", d.Delete(ctx, ep(0).Addr)); err != nil {
			return err
		}
		if err := x.await(ctx, x.timeout, ep(0)); err != nil {
			return err
		}
	}
	if err := n.withdrawn(); err != nil {
		return err
	}
	return x.stays(ctx, quiet)
}

func checkExpiredRegistrar(ctx context.Context, x *registrarExam) error {
	e, ok := x.place.(Expirer)
	if !ok {
		return lacks("Expirer", "make a session or lease expire")
	}
	n, err := x.registered(ctx, ep(0))
	if err != nil {
		return err
	}
	if err := tried("expiring", e.Expire(ctx)); err != nil {
		return err
	}
	if err := x.await(ctx, x.timeout, ep(0)); err != nil {
		return err
	}
	if err := x.stays(ctx, 3*quiet, ep(0)); err != nil {
		return err
	}
	if err := n.withdrawn(); err != nil {
		return err
	}
	return x.stays(ctx, quiet)
}

func checkOutage(ctx context.Context, x *registrarExam) error {
	n, err := x.registered(ctx, ep(0))
	if err != nil {
		return err
	}
	heal, err := cut(ctx, x.place)
	if err != nil {
		return err
	}
	if err := errors.Join(x.await(ctx, x.ttl+x.timeout), heal()); err != nil {
		return fmt.Errorf("during the outage: %w", err)
	}
	if err := x.await(ctx, x.timeout, ep(0)); err != nil {
		return err
	}
	if err := n.withdrawn(); err != nil {
		return err
	}
	return x.stays(ctx, quiet)
}

func checkBrokenLink(ctx context.Context, x *registrarExam) error {
	breakLinks, err := breaks(x.place)
	if err != nil {
		return err
	}
	if _, err := x.registered(ctx, ep(0)); err != nil {
		return err
	}
	for range 3 {
		breakLinks()
		if err := x.stays(ctx, 4*quiet, ep(0)); err != nil {
			return err
		}
	}
	// For good: by now an entry that was not kept alive would be gone.
	return x.stays(ctx, x.ttl+4*quiet, ep(0))
}

// breaker is a place of the suite's own tests that has no proxies.
type breaker interface{ breakLinks() }

func breaks(place any) (func(), error) {
	if b, ok := place.(breaker); ok {
		return b.breakLinks, nil
	}
	p, ok := place.(Proxied)
	if !ok {
		return nil, lacks("Proxied", "break a connection")
	}
	return func() {
		for _, proxy := range p.Proxies() {
			proxy.Break()
		}
	}, nil
}

func checkCrash(ctx context.Context, x *registrarExam) error {
	n, err := x.registered(ctx, ep(0))
	if err != nil {
		return err
	}
	// Nothing that it says on its way out is heard.
	heal, err := cut(ctx, x.place)
	if err != nil {
		return err
	}
	return errors.Join(n.stop(), x.await(ctx, x.ttl+x.timeout), heal())
}

func stopDuring(trouble func(context.Context, any) (func() error, error)) func(context.Context, *registrarExam) error {
	return func(ctx context.Context, x *registrarExam) error {
		old, err := x.registered(ctx, ep(0))
		if err != nil {
			return err
		}
		end, err := trouble(ctx, x.place)
		if err != nil {
			return err
		}
		fresh, err := x.register(ctx, ep(1))
		if err != nil {
			return errors.Join(err, end())
		}
		if err := rest(ctx); err != nil {
			return errors.Join(err, end())
		}
		return errors.Join(old.stop(), fresh.stop(), end())
	}
}

func checkNothingLeft(ctx context.Context, x *registrarExam) error {
	const rounds = 20
	once := func() error {
		n, err := x.registered(ctx, ep(0))
		if err != nil {
			return err
		}
		return n.withdrawn()
	}
	if err := once(); err != nil { // what the place begins with its first use is its own
		return err
	}
	if err := x.holds(ctx); err != nil {
		return err
	}
	before := goroutines()
	for range rounds {
		if err := once(); err != nil {
			return err
		}
	}
	left := func() (one string, n int) {
		for id, stack := range goroutines() {
			if _, old := before[id]; !old {
				one, n = stack, n+1
			}
		}
		return one, n
	}
	w := &exam{timeout: x.timeout}
	if w.poll(ctx, func() bool { _, n := left(); return n == 0 }) {
		return nil
	}
	one, n := left()
	return fmt.Errorf("%d goroutines are left %v after the last Register returned, one of them:\n%s", n, x.timeout, one)
}
