package core

import (
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
)

// Balancer builds pickers. Build is called once for each new set of endpoints,
// off the call path and never concurrently with itself. previous is the picker
// in use until now, nil at first; it stays in use until Build returns, and may
// be asked by late callers for a moment longer.
//
// Set one with [WithBalancer]. Package balance has some.
type Balancer interface {
	Build(previous Picker, set Snapshot) Picker
}

// Snapshot is the set of endpoints that a picker chooses from.
type Snapshot struct {
	// Members are ordered at random, differently in each pool, and never
	// change. A picker refers to them by index.
	Members []Member
}

// Picker chooses the endpoint of each call. Its methods are called
// concurrently, on the call path: they must not block, lock or allocate. A
// panic in Pick counts as "any", one in Report or Tick is dropped. A picker
// without members is not asked.
type Picker interface {
	// Pick returns the index of the member to call. An index out of range
	// means "any". The pool turns to another member by itself when this one
	// has no connection to offer and cannot be dialed.
	Pick(h Hint) int
	// Report tells the outcome of a call to member i.
	Report(i int, r Report)
}

// Ticker is implemented by pickers that need to see time pass. The pool calls
// Tick about every 100 ms, never concurrently with itself, with the time since
// the pool was made.
type Ticker interface {
	Tick(now time.Duration)
}

// Hint is what a call asks of the picker.
type Hint struct {
	// Key selects an endpoint by consistent hashing when Keyed is true.
	Key   uint64
	Keyed bool
	// Again: the call has failed on another endpoint, or wants to avoid one.
	Again bool
}

// Member is an endpoint as a picker sees it, with its live load.
type Member struct {
	Endpoint Endpoint
	load     *slots.Load
}

// NewMember returns a member of no pool, and what sets its load: for tests and
// simulations of balancers.
func NewMember(e Endpoint) (Member, *MemberLoad) {
	l := new(MemberLoad)
	return Member{e, &l.load}, l
}

// InFlight returns the number of connections leased or being dialed now.
func (m Member) InFlight() int { return m.load.InFlight() }

// Out reports whether the endpoint should not be called now, since it is
// ejected, or has no connection and cannot be dialed. If all are out, the least
// bad one is to be picked.
func (m Member) Out() bool { return m.load.Out() }

// Weight is the endpoint's weight, with zero as 1.
func (m Member) Weight() float64 { return m.Endpoint.weight() }

// MemberLoad is the load of a member of no pool. Its methods are safe for
// concurrent use. There can be 16383 calls in flight.
type MemberLoad struct{ load slots.Load }

// Begin adds a call to those in flight, and End takes one off.
func (l *MemberLoad) Begin() { l.load.Reserve() }

// End takes off what Begin added.
func (l *MemberLoad) End() { l.load.Unreserve() }

// SetDown says whether the endpoint can be dialed.
func (l *MemberLoad) SetDown(down bool) { l.load.SetDown(down) }
