package balance

import (
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/internal/load"
)

// Balancer builds pickers. The pool calls Build once for each set of endpoints that
// differs from the one before, off the call path and never concurrently with
// itself. previous is the picker in use until now, nil at first; it stays in use
// until Build returns, and late calls may ask it for a moment longer.
//
// members are in random order, which differs between pools, and never change; a
// picker refers to them by index. If Build panics or returns nil, [LeastLatency]
// chooses until the set changes.
//
// A Balancer may also have a method Validate() error, which core.New calls once: a
// pool is made only if it returns nil.
type Balancer interface {
	Build(previous Picker, members []Member) Picker
}

// Picker chooses the endpoint of each call. The pool calls its methods
// concurrently, on the call path: they must not block, lock or allocate. A panic
// in Pick counts as "any", a panic in Report or Tick is dropped. The pool does not
// ask a picker without members.
type Picker interface {
	// Pick returns the index of the member to call. An index out of range means
	// "any". If that member has no idle connection and cannot be dialed, the pool
	// turns to another one by itself.
	Pick(info PickInfo) int
	// Report receives the outcome of a call to member i.
	Report(i int, r Report)
}

// Ticker is implemented by pickers that need to see time pass. The pool calls Tick
// about every 100 ms, never concurrently with itself, with the time since the pool
// was made. While nothing has happened for a minute, no call, and no
// endpoint that came, left, failed or recovered, Tick pauses.
type Ticker interface {
	Tick(now time.Duration)
}

// PickInfo is what a picker may know of a call. The zero PickInfo is a call without
// a key.
type PickInfo struct {
	// Hash selects an endpoint by consistent hashing if Keyed is true.
	Hash  uint64
	Keyed bool
	// Retry means that the call has failed on another endpoint, or excludes one.
	Retry bool
	// Key is the text of the key, for balancers with a hash function of their
	// own. It is empty if the caller gave only the hash.
	Key string
}

// Member is an endpoint as a picker sees it, with its present load. Its methods
// are safe for concurrent use.
type Member struct {
	Endpoint discovery.Endpoint
	load     *load.Load
}

// NewMember returns a member whose load is l. The pool calls it; tests and
// simulations of balancers use balancetest.NewMember.
func NewMember(e discovery.Endpoint, l *load.Load) Member { return Member{e, l} }

// Load returns the load that NewMember was given, for outlier detection.
func (m Member) Load() *load.Load { return m.load }

// InFlight returns the number of connections leased or being dialed now.
func (m Member) InFlight() int { return m.load.InFlight() }

// Unavailable reports whether the endpoint should get no calls now: it is ejected,
// or has no connection and cannot be dialed. If all members are unavailable, pick
// one nevertheless.
func (m Member) Unavailable() bool { return m.load.Unavailable() }

// Weight returns the endpoint's weight; an unset weight, 0, is 1.
func (m Member) Weight() float64 {
	if m.Endpoint.Weight == 0 {
		return 1
	}
	return m.Endpoint.Weight
}
