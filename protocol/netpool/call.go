package netpool

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// Do leases a connection of the pool, calls fn with it as [Conn.Call] does, and
// gives it back, or closes it when it is not in order any more. It is
// [core.Pool.Do] for connections of this package, takes the same options, and
// blocks until fn has returned. fn must not keep the connection; with [core.Retry]
// it may be called several times.
//
// The error is that of fn, an [*Error] when the connection failed, or a
// [*core.Error] when none could be had.
func Do(ctx context.Context, pool *core.Pool[*Conn], fn func(c *Conn) error, opts ...core.CallOption) error {
	return pool.Do(ctx, func(ctx context.Context, c *Conn) error { return c.Call(ctx, fn) }, opts...)
}

// Call calls fn, whose reading and writing ends when ctx is done or
// [Config.Timeout] has passed, and sends what fn has left in the buffer. No fn is
// called once ctx is done, or when a call before has failed.
//
// The error is that of fn, or an [*Error] when the connection failed, whatever fn
// made of that: the connection is of no more use then. It also is when fn left
// something unread, or returned an error with a request half sent; see
// [ErrUnfinished].
func (c *Conn) Call(ctx context.Context, fn func(c *Conn) error) error {
	if err := c.usable(ctx); err != nil {
		return err
	}
	deadline := c.deadline(ctx)
	if !deadline.IsZero() {
		c.stream.note(c.stream.SetDeadline(deadline))
	}
	c.stream.sent = 0
	c.guard.Begin(ctx)
	hit, ended := false, false
	defer func() {
		if !ended { // fn panicked, or ended its goroutine
			c.guard.End()
			c.unfinished = true
			c.broken.Store(true)
		}
	}()
	said := fn(c)
	if said == nil && c.stream.err == nil && c.Writer.Buffered() > 0 {
		_ = c.Flush() // the stream remembers the error
	}
	ended = true
	if hit = c.guard.End(); hit || !deadline.IsZero() {
		_ = c.stream.SetDeadline(time.Time{}) // fails when the next call does
	}
	return c.examine(ctx, said, hit, deadline)
}

// usable says why no call can be made.
func (c *Conn) usable(ctx context.Context) error {
	err := ctx.Err()
	if d, ok := ctx.Deadline(); ok && err == nil && time.Until(d) <= 0 {
		err = context.DeadlineExceeded
	}
	switch {
	case c.stream.err != nil:
		return c.failed(c.stream.err)
	case c.unfinished:
		return c.failed(ErrUnfinished)
	case err != nil:
		return c.failed(err)
	default:
		return nil
	}
}

// deadline returns when a call that begins now must end, zero for never.
func (c *Conn) deadline(ctx context.Context) time.Time {
	var deadline time.Time
	if c.timeout > 0 {
		deadline = time.Now().Add(c.timeout)
	}
	if d, ok := ctx.Deadline(); ok && (deadline.IsZero() || d.Before(deadline)) {
		deadline = d
	}
	return deadline
}

// examine says how a call ended, and whether there may be another.
func (c *Conn) examine(ctx context.Context, said error, hit bool, deadline time.Time) error {
	if c.stream.err == nil {
		if c.Writer.Buffered() > 0 && c.stream.sent == 0 { // as if nothing had been written
			c.Writer.Reset(&c.stream)
		}
		if c.Reader.Buffered() == 0 && c.Writer.Buffered() == 0 {
			return said
		}
		c.unfinished = true
		c.broken.Store(true)
		return &Error{Endpoint: c.endpoint.Addr, Err: ErrUnfinished, Said: said}
	}
	c.broken.Store(true)
	e := c.failed(c.stream.err)
	if errors.Is(said, c.stream.err) {
		e.Err = said
	} else {
		e.Said = said
	}
	if hit || isTimeout(c.stream.err) {
		e.Ctx = ctx.Err()
		if d, ok := ctx.Deadline(); ok && e.Ctx == nil && d.Equal(deadline) {
			e.Ctx = context.DeadlineExceeded // its timer fires in a moment
		}
	}
	return e
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
