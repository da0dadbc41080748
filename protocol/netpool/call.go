package netpool

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/internal/callee"
	"github.com/minicaptain/multi_connection_pool/internal/ctxerr"
)

// Do leases a connection of the pool, calls fn with it as [Conn.Call] does, and
// gives the connection back, or closes it when it is out of order. Do is
// [core.Pool.Do] for connections of this package, takes the same options, and
// blocks until fn has returned. fn must not keep the connection. With
// [core.Attempts] Do calls fn again after a connection failed, and not after an
// error of fn's own.
//
// The error is that of fn, as it is, an [*Error] when the connection failed, or a
// [*core.Error] when none could be had. An error of fn's own counts as an answer:
// see the package's documentation.
func Do(ctx context.Context, pool *core.Pool[*Conn], fn func(c *Conn) error, opts ...core.CallOption) error {
	if len(opts) > 0 { // calls of one function are of one kind, unless the caller says otherwise
		opts = append([]core.CallOption{core.WithMethod(callee.Method(callee.Of(&fn)))}, opts...)
	}
	err := pool.Do(ctx, func(ctx context.Context, c *Conn) error {
		own, err := c.call(ctx, fn)
		if err == nil && c.stream.awaiting && !c.oneWay {
			c.lose() // the next call could read the answer
		}
		if own && err != nil {
			return &application{err, c.stream.outcome()}
		}
		return err
	}, opts...)
	if a, ok := err.(*application); ok { //nolint:errorlint // as it was made above
		return a.error
	}
	return err
}

// application is an error that the function of a call made by itself, while the
// connection worked. Only classifiers see it.
type application struct {
	error
	outcome balance.Outcome
}

func (a *application) Unwrap() error { return a.error }

// Call calls fn, whose reading and writing ends when ctx is done or
// [Config.Timeout] has passed, and sends what fn has left in the buffer. fn is
// not called when ctx is done, when a call before has failed, or when the server
// has closed the connection or sent something unasked.
//
// The error is that of fn, as it is, or an [*Error] when the connection failed,
// whatever fn made of that: the connection is of no more use then. The same holds
// when the call left the connection out of sync; see [ErrOutOfSync].
func (c *Conn) Call(ctx context.Context, fn func(c *Conn) error) error {
	_, err := c.call(ctx, fn)
	return err
}

// call is Call. It reports whether the error is fn's own.
func (c *Conn) call(ctx context.Context, fn func(c *Conn) error) (own bool, err error) {
	now := time.Now()
	if err := c.usable(ctx, now); err != nil {
		return false, err
	}
	deadline := c.deadline(ctx, now)
	c.stream.begin(now, deadline, c.maxRead)
	c.guard.Begin(ctx)
	hit, ended := false, false
	defer func() {
		if !ended { // fn panicked, or ended its goroutine
			c.guard.End()
			c.lose()
		}
	}()
	err = fn(c)
	if err == nil && c.stream.err == nil && c.Writer.Buffered() > 0 {
		_ = c.Flush() // the stream remembers the error
	}
	ended = true
	hit = c.guard.End()
	c.stream.end(hit)
	c.looked = false
	return c.examine(ctx, err, hit, deadline)
}

// usable returns why no call can be made.
func (c *Conn) usable(ctx context.Context, now time.Time) error {
	var err error
	if ctx.Err() != nil {
		err = ctxerr.Of(ctx)
	}
	if d, ok := ctx.Deadline(); ok && err == nil && !d.After(now) {
		err = ctxerr.EndedBy(ctx, d)
	}
	switch {
	case c.stream.err != nil:
		return c.failed(c.stream.err)
	case c.outOfSync:
		return c.failed(ErrOutOfSync)
	case err != nil:
		return c.failed(err)
	case c.looked, c.Reader.Buffered() > 0: // what it has read, its holder knows of
		return nil
	}
	if err := c.look(); err != nil {
		c.broken.Store(true)
		return c.failed(err)
	}
	return nil
}

// deadline returns when a call that begins now must end, zero for never.
func (c *Conn) deadline(ctx context.Context, now time.Time) time.Time {
	var deadline time.Time
	if c.timeout > 0 {
		deadline = now.Add(c.timeout)
	}
	if d, ok := ctx.Deadline(); ok && (deadline.IsZero() || d.Before(deadline)) {
		deadline = d
	}
	return deadline
}

// examine decides how a call ended whose function returned returned, and whether
// there may be another. It reports whether the error is the function's own.
func (c *Conn) examine(ctx context.Context, returned error, hit bool, deadline time.Time) (own bool, err error) {
	if c.stream.err == nil {
		return c.examineSync(returned)
	}
	c.broken.Store(true)
	e := c.failed(c.stream.err)
	e.idled = c.stream.idled
	if errors.Is(returned, c.stream.err) {
		e.Err = returned
	} else {
		e.Returned = returned
	}
	if hit || isTimeout(c.stream.err) {
		e.Ctx = ctxerr.EndedBy(ctx, deadline)
	}
	return false, e
}

// examineSync is examine for a connection on which no reading or writing failed.
func (c *Conn) examineSync(returned error) (own bool, err error) {
	if c.Writer.Buffered() > 0 && c.stream.sent == 0 { // as if nothing had been written
		c.Writer.Reset(sending{c})
	}
	nested := returned != nil && errors.As(returned, new(*Error)) // of a call to another server
	declared := errors.Is(returned, ErrOutOfSync) && !nested
	stopped := returned != nil && c.stream.awaiting
	if c.Reader.Buffered() == 0 && c.Writer.Buffered() == 0 && !declared && !stopped {
		return true, returned
	}
	c.lose()
	e := c.failed(ErrOutOfSync)
	if declared {
		e.Err = returned
	} else {
		e.Returned = returned
	}
	return false, e
}

// lose makes the call the last of the connection.
func (c *Conn) lose() {
	c.outOfSync = true
	c.broken.Store(true)
}

func (c *Conn) failed(err error) *Error { return &Error{Endpoint: c.endpoint.Addr, Err: err} }

// past is a deadline that makes any read or write return at once.
var past = time.Unix(1, 0) //nolint:gochecknoglobals // a constant

// abort makes the call in flight return.
func (c *Conn) abort() { _ = c.sock.Raw.SetDeadline(past) } // fails only when the call fails anyhow

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
