package thriftpool

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/internal/ctxerr"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/sock"
	"github.com/minicaptain/multi_connection_pool/retry"
)

// Conn is one connection to a Thrift server, opened by the dialer of [Dial].
//
// It is a [thrift.TClient] itself, for those who lease connections with the
// pool's Do or Get and make several calls on one; [core.Lease.End] takes the
// error of such a call. A Conn is not safe for concurrent use. After a call that
// failed otherwise than by an exception of the IDL it may be broken: every
// further call fails, and the pool closes it. [Client] does all of that.
type Conn struct {
	addr    string
	timeout time.Duration // of one call; 0 = none
	ping    func(context.Context, *Conn) error

	sock    *sock.Socket
	wire    *wire
	framed  *framed // nil when the transport is the user's
	proto   thrift.TProtocol
	reading limits                  // proto, for replies
	header  *thrift.THeaderProtocol // proto, or nil when that is another
	left    func() bool             // reports whether the transport holds more than the reply
	frames  bool                    // a request is complete with its last byte only

	seq     int32 // sequence id of the last message
	encoded bool  // the arguments were written completely

	used  time.Duration // when the last call ended, as staleness has it
	armed time.Time     // the deadline that is set on sock; zero = none

	staleness *sock.Staleness // of all connections of the dialer
	answers   *answers        // likewise
	answered  bool            // a reply has come on this connection
	guard     *sock.Guard     // ends a call when its context is canceled

	mu     sync.Mutex
	broken error // why no further call may be made; written by the caller only; nil = none
}

// Call makes one call. It blocks until the reply is there, ctx is done, or
// [Config.Timeout] has passed. Errors are [*Error]s; exceptions of the IDL are
// in result, as always with Thrift.
func (c *Conn) Call(ctx context.Context, method string, args, result thrift.TStruct) (thrift.ResponseMeta, error) {
	return serviceClient{c, ""}.Call(ctx, method, args, result)
}

// Service returns a client of one of the services of a server that has a
// TMultiplexedProcessor, on this connection; see [Service].
func (c *Conn) Service(name string) thrift.TClient { return serviceClient{c, name} }

// serviceClient is the client of one service on a connection, whose name is empty when the
// server has only one.
type serviceClient struct {
	conn    *Conn
	service string
}

// Call implements [thrift.TClient].
func (n serviceClient) Call(ctx context.Context, method string, args, result thrift.TStruct) (thrift.ResponseMeta, error) {
	meta, _, e, err := n.conn.call(ctx, retry.Attempt{}, n.service, method, args, result)
	if err != nil {
		return meta, n.conn.explain(wireName(n.service, method), e, err)
	}
	return meta, nil
}

// call makes one call, judges it, and measures how long it took. err is the
// Thrift client's, or that of the connection where that failed.
func (c *Conn) call(ctx context.Context, a retry.Attempt, service, method string, args, result thrift.TStruct) (
	meta thrift.ResponseMeta, took time.Duration, e ending, err error,
) {
	start := time.Now()
	if e, err = c.begin(ctx, start, a.Until(ctx, c.addr, start)); err == nil {
		meta, err = c.exchange(ctx, service, method, args, result)
		hit := c.guard.End()
		took = time.Since(start)
		c.used = c.staleness.At(start) + took
		if result == nil {
			c.used = longAgo // peek before the next call: the server may have replied all the same
		}
		if hit {
			c.armed = past
		}
		if err == nil && result != nil && !c.left() { // as judge would decide
			c.understood()
			return meta, took, ending{outcome: balance.OutcomeOK, keep: true}, nil
		}
		e, err = c.examine(ctx, err, hit, result == nil)
	}
	if !e.keep {
		c.fail(err)
	}
	return meta, took, e, err
}

// probe asks an ejected server, by the Config's Ping, whether it has recovered,
// before a call that would be lost otherwise. When it fails the call is unsent.
func (c *Conn) probe(ctx context.Context) (took time.Duration, e ending, err error) {
	start := time.Now()
	if err = c.ping(ctx, c); err == nil {
		return 0, e, nil
	}
	c.fail(err)
	e = ending{outcome: balance.OutcomeFailure, verdict: retry.VerdictUnsent}
	if ctx.Err() != nil {
		e = ending{outcome: outcomeOf(ctx.Err()), ctx: ctxerr.Of(ctx)}
	}
	return time.Since(start), e, err
}

// begin prepares the connection, or returns why nothing can be sent on it.
func (c *Conn) begin(ctx context.Context, start, until time.Time) (ending, error) {
	stale := ending{outcome: balance.OutcomeNeutral, silent: true, verdict: retry.VerdictStale}
	if c.broken != nil {
		return stale, &transportError{thrift.NOT_OPEN, c.broken}
	}
	deadline, err := c.deadline(ctx, start, until)
	if err != nil {
		e := ending{outcome: balance.OutcomeNeutral, silent: true, keep: true, ctx: err}
		if errors.Is(err, context.Canceled) {
			e.outcome = balance.OutcomeCanceled
		}
		return e, err
	}
	if now := c.staleness.At(start); sock.Cheap && c.staleness.Suspect(c.used, now) {
		if err = c.Peek(); err != nil {
			c.staleness.Broke(now)
		}
	}
	if err == nil && !deadline.Equal(c.armed) {
		c.armed = deadline
		err = c.sock.Conn.SetDeadline(deadline)
	}
	if err != nil {
		stale.hungUp = !c.answered && closedByPeer(err)
		return stale, &transportError{thrift.NOT_OPEN, err}
	}
	if c.framed != nil {
		c.framed.begin()
	} else {
		c.wire.begin()
	}
	if ctx != context.Background() && ctx != context.TODO() {
		c.guard.Begin(ctx)
	}
	return ending{}, nil
}

// deadline returns when the call must end, zero for never, or the context's
// error if it has ended already. until is the end of the attempt, if that has one.
func (c *Conn) deadline(ctx context.Context, start, until time.Time) (time.Time, error) {
	if ctx.Err() != nil {
		return time.Time{}, ctxerr.Of(ctx)
	}
	deadline := until
	if c.timeout > 0 {
		if d := start.Add(c.timeout); deadline.IsZero() || d.Before(deadline) {
			deadline = d
		}
	}
	if d, ok := ctx.Deadline(); ok {
		if !d.After(start) {
			return d, ctxerr.EndedBy(ctx, d)
		}
		if deadline.IsZero() || d.Before(deadline) {
			deadline = d
		}
	}
	return deadline, nil
}

// examine collects the facts of a call that did not simply succeed, and judges
// them.
func (c *Conn) examine(ctx context.Context, err error, hit, oneway bool) (ending, error) {
	f := facts{
		err: err, io: c.wire.err, out: c.wire.out, flushed: c.wire.flushed, begun: c.begun(),
		frames: c.frames, oneway: oneway, left: c.left(), refused: c.refused(err),
	}
	if err == nil {
		return judge(f), nil
	}
	f.ctx = c.endedBy(ctx, hit)
	if f.io != nil {
		err = asTransport(f.io)
		if !isTimeout(f.io) {
			c.staleness.Broke(c.staleness.Now())
		}
		f.large = !f.begun && closedByPeer(f.io) && c.answers.outgrown(c.wire.size)
	}
	e := judge(f)
	switch {
	case e.keep && f.flushed && !oneway:
		c.understood()
	case f.large:
		err = &largeError{c.wire.size, err}
	case !errors.Is(f.ctx, context.Canceled):
		err = c.diagnose(err)
	}
	return e, err
}

// begun reports whether the protocol has seen anything of a reply. The length of
// a frame alone does not count.
func (c *Conn) begun() bool {
	switch {
	case c.framed != nil:
		return c.wire.flushed && !c.framed.await
	case c.frames:
		return c.wire.in > lengthSize
	default:
		return c.wire.in > 0
	}
}

// endedBy returns the context's error if that ended the call that has failed,
// else nil.
func (c *Conn) endedBy(ctx context.Context, hit bool) error {
	failed := c.wire.err
	if hit || failed == nil && !c.wire.flushed { // some transports ask the context before they send
		return ctxerr.EndedBy(ctx, time.Time{})
	}
	if failed != nil && isTimeout(failed) {
		return ctxerr.EndedBy(ctx, c.armed) // nil when the attempt's timeout ended it
	}
	return nil // the connection or the server ended it
}

// longAgo is when a connection was last used that the next call must look at.
const longAgo = -time.Hour

// past is a deadline that makes any read or write return at once.
var past = time.Unix(1, 0) //nolint:gochecknoglobals // a constant

// abort makes the call in flight return.
func (c *Conn) abort() { _ = c.sock.Raw.SetDeadline(past) } // fails only when the call fails anyhow

// explain makes the error that a caller gets.
func (c *Conn) explain(method string, e ending, err error) *Error {
	attempts := 1
	if e.verdict == retry.VerdictStale {
		attempts = 0
	}
	return &Error{Endpoint: c.addr, Method: method, Attempts: attempts, Outcome: e.outcome, Err: err, Ctx: e.ctx}
}

// fail remembers why the connection is of no more use.
func (c *Conn) fail(err error) {
	if err == nil {
		err = errLeftover
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken == nil {
		c.broken = err
	}
}

// Peek implements [core.Peeker]. It reports without blocking whether the server
// has closed or reset the connection, or sent bytes that nobody asked for.
func (c *Conn) Peek() error {
	if c.broken != nil {
		return c.broken
	}
	if c.wire.buffered() > 0 {
		return errLeftover
	}
	if !sock.Cheap {
		c.armed = past // peeking changes the deadline
	}
	return c.sock.Peek()
}

// Health implements [core.HealthChecker] with [Config.Ping]. Without one it
// returns nil at once.
func (c *Conn) Health(ctx context.Context) error {
	if c.ping == nil {
		return nil
	}
	return c.ping(ctx, c)
}

// Close closes the connection and makes a call in flight on it fail; it may be
// called concurrently with one. TLS says goodbye only on a connection that is
// idle and not broken: on another the message could block.
func (c *Conn) Close() error {
	c.mu.Lock()
	broken := c.broken != nil
	c.mu.Unlock()
	if c.guard.Abandon() || broken {
		return c.sock.Raw.Close()
	}
	return c.sock.Conn.Close()
}

// asTransport makes an error of the connection a TTransportException.
func asTransport(err error) error {
	kind := thrift.UNKNOWN_TRANSPORT_EXCEPTION
	switch {
	case isTimeout(err):
		kind = thrift.TIMED_OUT
	case errors.Is(err, io.EOF):
		kind = thrift.END_OF_FILE
	case errors.Is(err, net.ErrClosed):
		kind = thrift.NOT_OPEN
	}
	return &transportError{kind, err}
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}

var (
	_ thrift.TClient     = (*Conn)(nil)
	_ core.Peeker        = (*Conn)(nil)
	_ core.HealthChecker = (*Conn)(nil)
)
