package thriftpool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/core"
)

const (
	// DefaultAttempts is how many servers a call is sent to at most, unless
	// [Attempts] says otherwise.
	DefaultAttempts = 3

	// maxStale bounds how many connections, ended before the call, a call may
	// come across. The pool drops the idle ones of a server with the first.
	maxStale = 16
)

// Client returns a Thrift client that sends each call to the server of the
// pool that is best placed to answer. It is safe for concurrent use, needs no
// closing, and takes the middleware of [thrift.WrapClient]. A client made by
// the Thrift compiler over it is NOT safe for concurrent use; see the package's
// documentation for what to do.
//
// A call blocks until its reply is there, its context is done, or its attempts
// are used up. Its errors are [*Error]s.
func Client(pool *core.Pool[*Conn], opts ...Option) thrift.TClient {
	never := func(string) bool { return false }
	c := &client{pool: pool, attempts: DefaultAttempts, idempotent: never, hedged: never}
	for _, o := range opts {
		o(c)
	}
	return c
}

// Option is an option of [Client].
type Option func(*client)

// Idempotent names methods that may be executed twice: a call of theirs that
// was sent and not answered, because the connection broke or [Config.Timeout]
// passed, is sent to another server, or again to the only one there is. "*"
// means all methods; without the option it is none. A call that no server can
// have executed is sent again in any case, and one whose reply had begun never
// is.
//
// Retries of calls that may have been executed need the leave of the pool's
// AllowRetry: they are limited to a fifth of all calls plus ten per second.
func Idempotent(methods ...string) Option {
	return IdempotentFunc(named(methods))
}

// named returns a function that tells whether a method is among methods, as
// all are among "*".
func named(methods []string) func(method string) bool {
	set := make(map[string]bool, len(methods))
	for _, m := range methods {
		set[m] = true
	}
	return func(method string) bool { return set[method] || set["*"] }
}

// IdempotentFunc is [Idempotent] with a function, which must be safe for
// concurrent use. The last of both that is given counts.
func IdempotentFunc(f func(method string) bool) Option {
	return func(c *client) { c.idempotent = f }
}

// Attempts limits the servers that one call is sent to; 1, as anything below,
// means that no call is repeated. The default is [DefaultAttempts].
func Attempts(n int) Option { return func(c *client) { c.attempts = max(n, 1) } }

// Route gives each call options for the choice of its server, such as a
// [core.WithKey] made from its arguments. f must be safe for concurrent use.
func Route(f func(ctx context.Context, method string, args thrift.TStruct) []core.CallOption) Option {
	return func(c *client) { c.route = f }
}

// Reclassify lets f have the last word on what a reply tells of its server:
// such as core.Overload for an exception of the IDL by which a server says so.
// f gets the error of the call, which may be nil or an exception of the IDL,
// and the class it would have; it must be safe for concurrent use.
func Reclassify(f func(err error, class core.Class) core.Class) Option {
	return func(c *client) { c.reclassify = f }
}

// LoadFunc sets what a reply tells of its server's load, as in [core.Report],
// such as by a header of THeader's or a field of the result; without the option
// that is nothing. f must be safe for concurrent use.
func LoadFunc(f func(meta thrift.ResponseMeta, result thrift.TStruct) float64) Option {
	return func(c *client) { c.load = f }
}

type client struct {
	pool       *core.Pool[*Conn]
	attempts   int
	idempotent func(method string) bool
	hedged     func(method string) bool
	route      func(ctx context.Context, method string, args thrift.TStruct) []core.CallOption
	reclassify func(err error, class core.Class) core.Class
	load       func(meta thrift.ResponseMeta, result thrift.TStruct) float64
}

// Call implements [thrift.TClient].
func (c *client) Call(ctx context.Context, method string, args, result thrift.TStruct) (thrift.ResponseMeta, error) {
	var opts []core.CallOption
	if c.route != nil {
		opts = c.route(ctx, method, args)
	}
	if c.hedged(method) && result != nil {
		return c.twice(ctx, method, args, result, opts)
	}
	return c.once(ctx, method, args, result, nil, opts)
}

// once makes a call, and again on other servers while that is possible. It
// tells leased, if that is not nil, the servers.
func (c *client) once(
	ctx context.Context, method string, args, result thrift.TStruct, leased func(addr string), opts []core.CallOption,
) (thrift.ResponseMeta, error) {
	var failed *Error
	var asked []string // the servers that may have executed it
	for attempts, stale := 0, 0; ; {
		lease, err := c.pool.Get(ctx, opts...)
		if err != nil {
			return thrift.ResponseMeta{}, noConn(method, failed, err)
		}
		conn := lease.Conn()
		if slices.Contains(asked, conn.addr) && len(c.pool.Stats().Endpoints) > 1 {
			_ = lease.Release() // the others are down
			return thrift.ResponseMeta{}, failed
		}
		if leased != nil {
			leased(conn.addr)
		}
		meta, v, err := c.try(ctx, lease, conn, method, args, result)
		if err == nil {
			return meta, nil
		}
		if v.stale && stale < maxStale {
			stale++ // the server may be well: it has closed an idle connection
			continue
		}
		attempts++
		failed = conn.explain(method, v, err)
		failed.Attempts = attempts
		if attempts >= c.attempts || !c.again(ctx, method, v) {
			return meta, failed
		}
		opts = append(slices.Clip(opts), core.Avoid(conn.addr))
		if v.fate != unsent {
			asked = append(asked, conn.addr)
		}
	}
}

// try makes the call on the leased connection, reports the outcome and ends
// the lease, also when the code of the arguments, or of an option, panics.
func (c *client) try(ctx context.Context, lease core.Lease[*Conn], conn *Conn, method string, args, result thrift.TStruct) (
	meta thrift.ResponseMeta, v verdict, err error,
) {
	panicked := true
	defer func() {
		if panicked {
			conn.fail(errPanic)
			_ = lease.Discard(errPanic)
		}
	}()
	var took time.Duration
	if conn.ping != nil && lease.Trial() && !c.repeatable(method) {
		took, v, err = conn.sound(ctx)
	}
	if err == nil {
		meta, took, v, err = conn.call(ctx, method, args, result)
	}
	if !v.silent {
		if c.reclassify != nil {
			v.class = c.reclassify(exception(result, err), v.class)
		}
		r := core.Report{Class: v.class, Latency: took}
		if c.load != nil && err == nil && result != nil {
			r.Load = c.load(meta, result)
		}
		lease.Report(r)
	}
	panicked = false
	switch {
	case v.keep:
		_ = lease.Release()
	case err == nil:
		_ = lease.Discard(errLeftover)
	default:
		_ = lease.Discard(err) // io.EOF and the like cost the idle siblings
	}
	return meta, v, err
}

// again decides whether a failed call may be sent to another server.
func (c *client) again(ctx context.Context, method string, v verdict) bool {
	switch {
	case v.final || v.fate == answered:
		return false
	case v.fate == unsent:
		return true
	default:
		return c.repeatable(method) && c.pool.AllowRetry(ctx)
	}
}

// repeatable says whether a method may be executed twice.
func (c *client) repeatable(method string) bool { return c.idempotent(method) || c.hedged(method) }

// exception returns err, or the exception of the IDL that is in result.
func exception(result thrift.TStruct, err error) error {
	if err != nil || result == nil {
		return err
	}
	return thrift.ExtractExceptionFromResult(result)
}

// noConn is the error of a call that got no connection, failed being that of
// its attempt before, if there was one.
func noConn(method string, failed *Error, err error) error {
	e := &Error{Method: method, Class: core.Ignored, Err: err}
	if failed != nil {
		*e = *failed
		e.Err = fmt.Errorf("%w, and then %w", failed.Err, err)
	}
	if errors.Is(err, context.Canceled) {
		e.Class = core.Cancelled
	}
	return e
}
