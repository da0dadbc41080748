package discoverytest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// Fixture connects the suites to one service in a registry: a path, a prefix or
// a service name that is empty at first and that nothing else uses. The
// functions access the registry directly, not through the watcher or registrar
// under test.
//
// A function may return an error that matches [errors.ErrUnsupported] and names
// what the registry does not have, such as weights. The case is then skipped
// for that reason. Any other error fails the case.
//
// A restore function undoes what the function that returned it did. The suite
// calls it once.
type Fixture struct {
	// Watcher returns a new watcher of the service. The suite runs several
	// watchers at a time, and calls Watch again after it returned. Run
	// requires Watcher.
	Watcher func() (discovery.Watcher, error)
	// Put makes set the complete set of the service, and returns when a Watch
	// that starts now would report set. Put does not touch entries that stay
	// as they are, and updates changed entries in place: a watcher may at no
	// time see less than what the old and the new set have in common. With an
	// empty set the service exists and is empty. Put does not keep set. The
	// suite calls Put in another goroutine than the test's, where t.Fatal does
	// not work. Run requires Put.
	Put func(ctx context.Context, set []discovery.Endpoint) error

	// Registrar returns a new registrar of the service. RunRegistrar requires
	// Registrar.
	Registrar func() (discovery.Registrar, error)
	// Entries returns the set that the registry holds, without unhealthy
	// entries. RunRegistrar requires Entries.
	Entries func(ctx context.Context) ([]discovery.Endpoint, error)

	// Close removes the service. Each Watch and Register has returned by then,
	// or the case has failed. Both suites require Close.
	Close func() error

	// Proxies are the only connections between the watchers or registrars and
	// the registry, and carry nothing else. They also provide Cut, Hang and
	// Break where these are nil.
	Proxies []*Proxy
	// Cut closes the connections of all watchers and registrars and refuses
	// new ones until restore. Put and Entries go on working.
	Cut func(ctx context.Context) (restore func() error, err error)
	// Hang keeps connections open and accepts new ones, but leaves them without
	// an answer until restore. Put and Entries go on working.
	Hang func(ctx context.Context) (restore func() error, err error)
	// Break closes the connections of all watchers and registrars. New ones
	// work.
	Break func(ctx context.Context) error

	// ExpireSessions ends the session of each watcher, or the session or lease
	// of each registrar, as if the registry had not heard from it for too
	// long. It returns when the sessions have ended.
	ExpireSessions func(ctx context.Context) error
	// Compact drops the history of the registry up to now.
	Compact func(ctx context.Context) error
	// Remove removes the service with all its entries. Put creates it again.
	Remove func(ctx context.Context) error
	// RevokeAccess revokes the watchers' permission to read the service until
	// restore. Put goes on working.
	RevokeAccess func(ctx context.Context) (restore func() error, err error)
	// PutMalformed adds entries that are not endpoints: empty, truncated,
	// garbage, those of other programs. The next Put may leave or remove them.
	PutMalformed func(ctx context.Context) error
	// PutSibling makes set the complete set of another service, whose name
	// begins with the name of this one, as "/echo-2" and "/echo". Close
	// removes that service too.
	PutSibling func(ctx context.Context, set []discovery.Endpoint) error
	// CountRequests returns the number of requests that the watchers have made,
	// without those that only keep a session or a connection alive.
	CountRequests func(ctx context.Context) (int, error)
	// CountWatches returns the number of watches of the service that the
	// registry holds now.
	CountWatches func(ctx context.Context) (int, error)

	// Contradict lets the registry give answers that contradict themselves or one
	// another, until restore: lengths, positions, pages, names. For this and the
	// following four, which RunHostile uses, Put goes on working, and changes what
	// the registry holds when it behaves again.
	Contradict func(ctx context.Context) (restore func() error, err error)
	// Endless lets the registry give answers that do not end, until restore.
	Endless func(ctx context.Context) (restore func() error, err error)
	// Storm lets the registry send as many signs of a change as it can, until
	// restore. Nothing changes.
	Storm func(ctx context.Context) (restore func() error, err error)
	// Restless lets the registry hold something else at each look, until restore.
	Restless func(ctx context.Context) (restore func() error, err error)
	// Flood adds entries whose values, where there are values, have size bytes each,
	// until restore.
	Flood func(ctx context.Context, entries, size int) (restore func() error, err error)
	// PutUnchecked adds an entry for e, which is not valid, as a program would that
	// checks nothing.
	PutUnchecked func(ctx context.Context, e discovery.Endpoint) error

	// DeleteEntry deletes the entry of an address.
	DeleteEntry func(ctx context.Context, addr string) error
	// PutOrphan adds an entry for e with a session or lease of its own, like
	// the entry of a registrar that has crashed. expire ends that session or
	// lease. The suite calls expire once.
	PutOrphan func(ctx context.Context, e discovery.Endpoint) (expire func() error, err error)

	// Rival returns a new registrar of the service that shares nothing with
	// those of Registrar, neither a session nor a connection, as if it were in
	// another program. Cut, Hang and Break do not affect it.
	Rival func() (discovery.Registrar, error)
	// LostWithin is the time within which a registration by [discovery.Register]
	// reports that the registry does not hear from it any more. It is TTL unless
	// the registry knows of a loss in another way.
	LostWithin time.Duration

	// MaxMemory is by how many bytes the heap of the process may grow in RunHostile.
	// A hostile registry of the test's own runs in it. The default is 256 MiB.
	MaxMemory int64

	// TTL is the time after which the registry drops the entry of a registrar
	// that has crashed. The suite waits for TTL and Timeout. The default is
	// 10 s.
	TTL time.Duration
	// Timeout is how long the suite waits for anything else. Only a case that
	// fails waits that long. The default is 10 s.
	Timeout time.Duration
	// Scale is the number of endpoints in a large set. The default is 10,000.
	Scale int
	// Seed repeats a failed RandomHistory case, which logs its seed. The
	// default is a random seed.
	Seed uint64
}

// setDefaults replaces zero values.
func (f *Fixture) setDefaults() {
	if f.TTL == 0 {
		f.TTL = defaultTimeout
	}
	if f.Timeout == 0 {
		f.Timeout = defaultTimeout
	}
	if f.Scale == 0 {
		f.Scale = defaultScale
	}
	if f.MaxMemory == 0 {
		f.MaxMemory = defaultMaxMemory
	}
	if f.Seed == 0 {
		f.Seed = rand.Uint64()
	}
	if len(f.Proxies) == 0 {
		return
	}
	if f.Cut == nil {
		f.Cut = f.cutProxies
	}
	if f.Hang == nil {
		f.Hang = f.hangProxies
	}
	if f.Break == nil {
		f.Break = f.breakProxies
	}
}

func (f *Fixture) cutProxies(context.Context) (func() error, error) {
	for _, p := range f.Proxies {
		p.Cut()
	}
	return f.healProxies, nil
}

func (f *Fixture) hangProxies(context.Context) (func() error, error) {
	var errs []error
	for _, p := range f.Proxies {
		errs = append(errs, p.Hang())
	}
	return f.healProxies, errors.Join(errs...)
}

func (f *Fixture) breakProxies(context.Context) error {
	for _, p := range f.Proxies {
		p.Break()
	}
	return nil
}

func (f *Fixture) healProxies() error {
	var errs []error
	for _, p := range f.Proxies {
		errs = append(errs, p.Heal())
	}
	return errors.Join(errs...)
}

// missing is the reason to skip a case: an optional field is nil.
func missing(field string) error {
	switch field {
	case "Proxies":
		return fmt.Errorf("%s is empty (%w)", qualified(field), errors.ErrUnsupported)
	case "Cut", "Hang", "Break":
		return fmt.Errorf("%s is nil and %s is empty (%w)", qualified(field), qualified("Proxies"), errors.ErrUnsupported)
	default:
		return fmt.Errorf("%s is nil (%w)", qualified(field), errors.ErrUnsupported)
	}
}

// required is the failure of a case: a required field is nil.
func required(field string) error {
	return fmt.Errorf("%s is nil, but the suite requires it", qualified(field))
}

// fieldError names the field whose function returned err.
func fieldError(field string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", qualified(field), err)
}

func qualified(field string) string { return "Fixture." + field }
