package thriftpool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/retry"
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
	c := &client{pool: pool, retrier: pool.Retrier(), attempts: DefaultAttempts, idempotent: never, hedged: never}
	for _, o := range opts {
		if o != nil {
			o(c)
		}
	}
	return c
}

type client struct {
	pool       *core.Pool[*Conn]
	retrier    *retry.Retrier
	attempts   int
	idempotent func(method string) bool
	hedged     func(method string) bool
	route      func(ctx context.Context, method string, args thrift.TStruct) []core.CallOption
	reclassify func(err error, outcome balance.Outcome) balance.Outcome
	load       func(meta thrift.ResponseMeta, result thrift.TStruct) float64
	service    string // empty when the server has only one
}

// invocation is one call of a client, whatever its attempts.
type invocation struct {
	method       string
	args, result thrift.TStruct // no result: the method is oneway
	opts         []core.CallOption
	repeatable   bool // it may be executed twice
}

// Call implements [thrift.TClient].
func (c *client) Call(ctx context.Context, method string, args, result thrift.TStruct) (thrift.ResponseMeta, error) {
	v := invocation{method: method, args: args, result: result}
	if c.route != nil {
		v.opts = c.route(ctx, method, args)
	}
	hedged := c.hedged(method)
	v.repeatable = hedged || c.idempotent(method)
	if hedged && hedgeable(result) {
		return c.hedge(ctx, v)
	}
	return retry.Run(ctx, c.retrier, c.plan(v), func(ctx context.Context, a retry.Attempt) (thrift.ResponseMeta, retry.Result, error) {
		return c.attempt(ctx, a, v)
	})
}

func (c *client) plan(v invocation) retry.Call {
	return retry.Call{Attempts: c.attempts, Repeatable: v.repeatable, Method: balance.Hash(v.method), Name: v.method}
}

// attempt makes one attempt of a call.
func (c *client) attempt(ctx context.Context, a retry.Attempt, v invocation) (meta thrift.ResponseMeta, res retry.Result, err error) {
	before, _ := a.Err.(*Error) //nolint:errorlint // it is what attempt returned
	opts := v.opts
	for _, addr := range a.Excluded {
		opts = append(slices.Clip(opts), core.WithoutEndpoint(addr))
	}
	lease, err := c.pool.Get(ctx, opts...)
	if err != nil {
		return meta, retry.Result{Verdict: retry.VerdictNoServer}, noConn(wireName(c.service, v.method), before, err)
	}
	conn := lease.Conn()
	if !a.Leased(conn.addr) {
		_ = lease.Release()
		return meta, retry.Result{Verdict: retry.VerdictNoServer}, nil
	}
	meta, took, e, err := c.call(ctx, a, lease, conn, v)
	res = retry.Result{Verdict: e.verdict, Endpoint: conn.addr, Took: took, Outcome: e.outcome}
	if e.silent || e.verdict == retry.VerdictDone && e.outcome != balance.OutcomeOK { // it was not answered
		res.Took = 0
	}
	if err == nil {
		return meta, res, nil
	}
	if e.large && isLarge(a.Err) { // closed twice: it is the request
		res.Verdict, res.Took = retry.VerdictDone, 0
	}
	hungUpBefore := before != nil && before.hungUp
	if e.hungUp && hungUpBefore { // the next new connection would be no better
		e.outcome, e.verdict, res.Verdict = balance.OutcomeFailure, retry.VerdictUnsent, retry.VerdictUnsent
	}
	failed := conn.explain(wireName(c.service, v.method), e, err)
	failed.hungUp = e.hungUp || hungUpBefore
	if before != nil {
		failed.Attempts += before.Attempts
	}
	return meta, res, failed
}

// call makes the call on the leased connection, reports the outcome and ends
// the lease, also when the code of the arguments, or of an option, panics.
func (c *client) call(ctx context.Context, a retry.Attempt, lease core.Lease[*Conn], conn *Conn, v invocation) (
	meta thrift.ResponseMeta, took time.Duration, e ending, err error,
) {
	panicked := true
	defer func() {
		if panicked {
			conn.fail(errPanic)
			_ = lease.Discard(errPanic)
		}
	}()
	if conn.ping != nil && lease.Probe() && !v.repeatable {
		took, e, err = conn.probe(ctx)
	}
	if err == nil {
		meta, took, e, err = conn.call(ctx, a, c.service, v.method, v.args, v.result)
	}
	if !e.silent {
		if c.reclassify != nil {
			e.outcome = c.reclassify(exception(v.result, err), e.outcome)
		}
		report := balance.Report{Outcome: e.outcome, Latency: took}
		if c.load != nil && err == nil && v.result != nil {
			report.Load = c.load(meta, v.result)
		}
		lease.Report(report)
	}
	panicked = false
	switch {
	case e.keep:
		_ = lease.Release()
	case err == nil:
		_ = lease.Discard(errLeftover)
	case e.large:
		_ = lease.Discard(errLarge) // the idle siblings may be sound
	default:
		_ = lease.Discard(err) // io.EOF and the like close the idle siblings
	}
	return meta, took, e, err
}

// exception returns err, or the exception of the IDL that is in result.
func exception(result thrift.TStruct, err error) error {
	if err != nil || result == nil {
		return err
	}
	return thrift.ExtractExceptionFromResult(result)
}

// noConn is the error of a call that got no connection. before, which may be
// nil, is the error of the attempt before.
func noConn(method string, before *Error, err error) *Error {
	e := &Error{Method: method, Outcome: balance.OutcomeNeutral, Err: err}
	if before != nil && before.Attempts > 0 { // not only connections that had ended
		*e = *before
		e.Err = fmt.Errorf("%w, and then %w", before.Err, err)
	}
	if errors.Is(err, context.Canceled) {
		e.Outcome = balance.OutcomeCanceled
	}
	return e
}
