package thriftpool

import (
	"context"
	"slices"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

// DefaultAttempts is how many servers a call is sent to at most, unless
// [Attempts] says otherwise.
const DefaultAttempts = 3

// Option sets one parameter of [Client].
type Option func(*client)

// Idempotent names methods that may be executed twice: a call of theirs that
// was sent and not answered, because the connection broke or [Config.Timeout]
// passed, is sent to another server, or to the same if no other is available. "*"
// means all methods; the default is none. A call that no server can have
// executed is sent again in any case, and one whose reply has begun never is.
//
// The pool's budget limits the retries of calls that may have been executed to
// a fifth of all calls plus ten per second; see package retry.
func Idempotent(methods ...string) Option {
	return WithIdempotent(named(methods))
}

// named returns a function that reports whether a method is among methods, as
// all are among "*".
func named(methods []string) func(method string) bool {
	if slices.Contains(methods, "*") {
		return func(string) bool { return true }
	}
	set := make(map[string]bool, len(methods))
	for _, m := range methods {
		set[m] = true
	}
	return func(method string) bool { return set[method] }
}

// WithIdempotent is [Idempotent] with a function, which must be safe for
// concurrent use. The last of both options counts.
func WithIdempotent(f func(method string) bool) Option {
	return func(c *client) { c.idempotent = f }
}

// Service names the service that the client calls, of a server that has several in
// a TMultiplexedProcessor: messages carry the name and a colon before the method's.
// Clients of any number of services share a pool and its connections. The other
// options, such as [Idempotent], have the plain names of methods. The default is
// no name, for servers with one service.
//
// Most servers close the connection when they have no service of that name, which
// cannot be told from a server that fails.
func Service(name string) Option { return func(c *client) { c.service = name } }

// Attempts limits how often one call is sent: 1, as anything below, means that
// no call is repeated. The default is [DefaultAttempts].
func Attempts(n int) Option { return func(c *client) { c.attempts = max(n, 1) } }

// WithRoute sets the options for the choice of each call's server, such as a
// [core.WithKey] made from its arguments. f must be safe for concurrent use.
func WithRoute(f func(ctx context.Context, method string, args thrift.TStruct) []core.CallOption) Option {
	return func(c *client) { c.route = f }
}

// WithClassifier lets f decide the outcome of each call, such as
// balance.OutcomeOverload for an exception of the IDL with which a server refuses
// work. f gets the error of the call, which may be nil or an exception of the
// IDL, and the outcome that [Classify] has for it. f must be safe for concurrent
// use. [core.WithClassifier] is for calls that are made through the pool's Do.
func WithClassifier(f func(err error, outcome balance.Outcome) balance.Outcome) Option {
	return func(c *client) { c.reclassify = f }
}

// WithLoad sets how the load of a server is read from its replies, such as from
// a header of THeader or a field of the result, in the unit of [balance.Report].
// The default is no load. f must be safe for concurrent use.
func WithLoad(f func(meta thrift.ResponseMeta, result thrift.TStruct) float64) Option {
	return func(c *client) { c.load = f }
}
