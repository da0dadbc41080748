package discoverytest

import (
	"context"
	"errors"
	"fmt"

	"github.com/minicaptain/multi_connection_pool/core"
)

// What follows are capabilities: a [Place], or a [RegistrarPlace] where it
// makes sense, has the methods of those that its registry allows for. A method
// may still return an error that matches [errors.ErrUnsupported], when it
// depends on more than the type.

// Proxied is a place that is reached through proxies: its watchers, or
// registrars, through these and in no other way, and nothing else through
// them. Such a place need be neither [Cutter] nor [Hanger]: the suite cuts and
// hangs the proxies.
type Proxied interface {
	// Proxies returns all of them. The suite heals what it disturbs.
	Proxies() []*Proxy
}

// Cutter is a place that can cut the connections between its watchers and
// the registry, and let them be made again.
type Cutter interface {
	// Cut breaks the connections of all watchers and refuses new ones until
	// heal is called. Put goes on working meanwhile.
	Cut(ctx context.Context) (heal func() error, err error)
}

// Hanger is a place that can make the registry silent to its watchers:
// connections stay or are accepted, and nothing is answered.
type Hanger interface {
	// Hang silences the registry until resume is called.
	Hang(ctx context.Context) (resume func() error, err error)
}

// Expirer is a place whose registry has sessions, or leases, that it can be
// made to end.
type Expirer interface {
	// Expire ends the session of each watcher, or the session or lease of each
	// registrar, as if the registry had not heard from it for too long, and
	// returns when that has happened.
	Expire(ctx context.Context) error
}

// Compacter is a place whose registry has a history that watchers follow, and
// that it can be made to forget.
type Compacter interface {
	// Compact drops all history up to now.
	Compact(ctx context.Context) error
}

// Remover is a place that can be absent.
type Remover interface {
	// Remove removes the place with everything in it. Put makes it again.
	Remove(ctx context.Context) error
}

// Revoker is a place whose watchers have permission to read it, which can be
// taken away.
type Revoker interface {
	// Revoke takes the permission away until restore is called. Put goes on
	// working meanwhile.
	Revoke(ctx context.Context) (restore func() error, err error)
}

// Spoiler is a place where anything can be written.
type Spoiler interface {
	// Spoil adds entries to the place that cannot be read as endpoints: empty,
	// garbage, cut in the middle, of other programs. The next Put may leave
	// them or remove them.
	Spoil(ctx context.Context) error
}

// Neighbour is a place beside which there can be others.
type Neighbour interface {
	// PutBeside puts eps into a place of which the name begins with the name
	// of this one, like "/echo-2" beside "/echo". Close removes it too.
	PutBeside(ctx context.Context, eps []core.Endpoint) error
}

// Counter is a place that counts what its watchers ask of the registry.
type Counter interface {
	// Requests returns how many requests were made so far, without those that
	// only keep a session or a connection alive.
	Requests() int
}

// WatchCounter is a place that knows which watches the registry holds.
type WatchCounter interface {
	// Watches returns how many watches of this place the registry holds.
	Watches(ctx context.Context) (int, error)
}

// cut cuts a place, as a Cutter or by its proxies.
func cut(ctx context.Context, place any) (heal func() error, err error) {
	if c, ok := place.(Cutter); ok {
		heal, err = c.Cut(ctx)
	} else if p, ok := place.(Proxied); ok {
		for _, proxy := range p.Proxies() {
			proxy.Cut()
		}
		heal = func() error { return healAll(p) }
	} else {
		return nil, lacks("Proxied or Cutter", "cut the connection to its registry")
	}
	if err != nil {
		return nil, fmt.Errorf("cutting: %w", err)
	}
	return once("healing", heal), nil
}

// hang silences a place, as a Hanger or by its proxies.
func hang(ctx context.Context, place any) (resume func() error, err error) {
	if h, ok := place.(Hanger); ok {
		resume, err = h.Hang(ctx)
	} else if p, ok := place.(Proxied); ok {
		for _, proxy := range p.Proxies() {
			err = errors.Join(err, proxy.Hang())
		}
		resume = func() error { return healAll(p) }
	} else {
		return nil, lacks("Proxied or Hanger", "make its registry silent")
	}
	if err != nil {
		return nil, fmt.Errorf("hanging: %w", err)
	}
	return once("resuming", resume), nil
}

func healAll(p Proxied) error {
	var errs []error
	for _, proxy := range p.Proxies() {
		errs = append(errs, proxy.Heal())
	}
	return errors.Join(errs...)
}

// once lets a check undo what it did where it should, and defer it too.
func once(what string, undo func() error) func() error {
	done := false
	return func() error {
		if done {
			return nil
		}
		done = true
		if err := undo(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	}
}

// lacks is the reason to skip a case: the place has no such capability.
func lacks(capability, what string) error {
	return fmt.Errorf("the place is no %s: it cannot %s (%w)", capability, what, errors.ErrUnsupported)
}

// tried wraps an error of a capability, unless that is a reason to skip.
func tried(what string, err error) error {
	if err == nil || errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return fmt.Errorf("%s: %w", what, err)
}
