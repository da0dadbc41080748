package core

import (
	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/internal/callee"
	"github.com/minicaptain/multi_connection_pool/retry"
)

// CallOption narrows the choice of one call, or says how often it may be made.
// It is a value: passing some costs no allocation.
type CallOption struct {
	kind callKind
	s    string
	n    uint64
}

type callKind uint8

const (
	withKey callKind = iota + 1
	withKeyHash
	withEndpoint
	withoutEndpoint
	attempts
	hedged
	withMethod
)

// WithKey sends calls with the same key to the same endpoint while it is there
// and available, where they wait their turn even if others are idle; and moves
// as few keys as possible when it is not. Balancers see the key as it is and
// its hash, balance.Hash(key).
func WithKey(key string) CallOption { return CallOption{kind: withKey, s: key} }

// WithKeyHash is [WithKey] for callers that hash keys themselves.
func WithKeyHash(hash uint64) CallOption { return CallOption{kind: withKeyHash, n: hash} }

// WithEndpoint sends the call to the endpoint with this address and to no other.
// If the set does not hold it, the error is [ErrNoEndpoint].
func WithEndpoint(addr string) CallOption { return CallOption{kind: withEndpoint, s: addr} }

// WithoutEndpoint sends the call elsewhere than to this address, unless no other
// endpoint is available. It may be given several times; the last four count.
func WithoutEndpoint(addr string) CallOption { return CallOption{kind: withoutEndpoint, s: addr} }

// Attempts lets Do and [Call] call their function up to n times in all while it
// fails, within the pool's budget of retries: it is for calls that may be
// executed twice. Another server is asked each time, or the same if no other is
// available. The default is 1. Get ignores it.
func Attempts(n int) CallOption { return CallOption{kind: attempts, n: uint64(max(n, 1))} }

// Hedged lets [Call] call its function a second time, with a connection to another
// server, when it is late; see retry.RunHedged for when that is. The first that
// does not fail counts, and the context of the other is canceled. It is for calls
// that may be executed twice, and for functions that may run twice at the same
// time; Call may return while the other still runs. For Do it is an error: a
// function without a result would have to leave it in a variable, which both
// calls write. Get ignores it.
func Hedged() CallOption { return CallOption{kind: hedged} }

// WithMethod names what Do or [Call] call, so that calls which usually take long do
// not count as late beside others: with [Attempts] or [Hedged], what an attempt may
// take is measured by method. The default is the function that they are given, which
// is enough unless one function makes calls of different kinds. Get ignores it.
func WithMethod(name string) CallOption { return CallOption{kind: withMethod, s: name} }

func newRequest(opts []CallOption) request {
	var r request
	for _, o := range opts {
		switch o.kind {
		case withKey:
			r.info.Key, r.info.Hash, r.info.Keyed = o.s, balance.Hash(o.s), true
		case withKeyHash:
			r.info.Key, r.info.Hash, r.info.Keyed = "", o.n, true
		case withEndpoint:
			r.endpoint, r.named = o.s, true
		case withoutEndpoint:
			r.excluded[r.n%len(r.excluded)] = o.s
			r.n++
			r.info.Retry = true
		case attempts, hedged, withMethod: // are for Do and Call
		}
	}
	return r
}

// plan is how often a call may be made.
type plan struct {
	attempts int
	hedged   bool
	named    bool // it is for one endpoint
	method   uint64
}

func planOf(opts []CallOption) plan {
	p := plan{attempts: 1}
	for _, o := range opts {
		switch o.kind {
		case attempts:
			p.attempts = int(min(o.n, 1<<30))
		case hedged:
			p.hedged = true
		case withEndpoint:
			p.named = true
		case withMethod:
			p.method = balance.Hash(o.s)
		default:
		}
	}
	p.hedged = p.hedged && !p.named // there is no other
	return p
}

// methodName is the name that WithMethod has given.
func methodName(opts []CallOption) (name string) {
	for _, o := range opts {
		if o.kind == withMethod && callee.Given(o.s) {
			name = o.s
		}
	}
	return name
}

// nameMethod makes the method the function whose code is at an address, unless
// an option has named it.
func (p *plan) nameMethod(code uintptr) {
	if p.method == 0 {
		p.method = uint64(code)
	}
}

// call is the plan as package retry has it.
func (p plan) call(opts []CallOption) retry.Call {
	return retry.Call{Attempts: p.attempts, Repeatable: true, Method: p.method, Name: methodName(opts)}
}
