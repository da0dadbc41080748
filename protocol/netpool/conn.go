package netpool

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/sock"
)

// Conn is one connection, opened by the dialer of [Dial]: its buffered reader and
// writer, to be used within a call. It is not safe for concurrent use, but for
// Close.
//
// [Do] makes calls. Those who lease connections with the pool's Get or Do make
// them with Conn.Call, and may make several on one; outside of a call nothing
// bounds how long reading and writing block.
type Conn struct {
	// ReadWriter has all the methods of a bufio.Reader and a bufio.Writer, except
	// that Peek and Buffered are those of Reader and Writer. Reading sends what is
	// written before it waits for bytes.
	bufio.ReadWriter

	// Session is what calls, [Config.Setup] and [Config.Reset] note about this
	// connection for each other, such as whether there is something to reset. The
	// package does not touch it.
	Session any

	endpoint core.Endpoint
	timeout  time.Duration // of one call; not above 0 = none
	maxRead  int64         // bytes of one call; below 0 = any number
	ping     func(*Conn) error
	sock     *sock.Socket
	stream   stream
	guard    *sock.Guard // ends a call when its context is canceled

	oneWay    bool        // there are requests without answers
	looked    bool        // since the last call, and all was well
	outOfSync bool        // a call ended in the middle of an exchange
	broken    atomic.Bool // no further call may be made; for Close
}

func newConn(s *sock.Socket, e core.Endpoint, conf Config, dog *sock.Watchdog) *Conn {
	c := &Conn{endpoint: e, timeout: conf.Timeout, maxRead: conf.MaxRead, ping: conf.Ping, oneWay: conf.OneWay, sock: s}
	c.stream.Conn = s.Conn
	c.Writer = bufio.NewWriterSize(sending{c}, conf.Buffer)
	c.Reader = bufio.NewReaderSize(flushing{&c.stream, c.Writer}, conf.Buffer)
	c.guard = dog.Guard(c.abort)
	c.stream.guard, c.stream.left = c.guard, -1
	return c
}

// Endpoint returns the server, as it was when the connection was opened.
func (c *Conn) Endpoint() core.Endpoint { return c.endpoint }

// NetConn returns the connection under the buffers; with TLS, that of TLS. A
// deadline that is set on it within a call ends with the call, and takes effect
// only if it is before that of the call.
func (c *Conn) NetConn() net.Conn { return &c.stream }

// Peek implements [core.Peeker]. It reports without blocking whether the server
// has closed or reset the connection, or sent bytes that nobody asked for, and
// whether the last call has left it out of sync. It ends the deadlines that were
// set on NetConn. The bufio.Reader's method of that name is c.Reader.Peek.
func (c *Conn) Peek() error {
	switch {
	case c.stream.err != nil:
		return c.stream.err
	case c.outOfSync, c.stream.awaiting && !c.oneWay, c.Writer.Buffered() > 0:
		return ErrOutOfSync
	case c.Reader.Buffered() > 0:
		return sock.ErrUnasked
	}
	err := c.sock.Peek()
	c.looked = err == nil
	if c.stream.armed && err == nil {
		c.stream.disarm()
	}
	return err
}

// look looks at the socket before a call sends anything, where that does not
// wait. What a look finds, the stream remembers.
func (c *Conn) look() error {
	if !sock.Cheap {
		return nil
	}
	err := c.sock.Peek()
	if errors.Is(err, sock.ErrUnasked) {
		err = fmt.Errorf("%w: %w", ErrOutOfSync, err)
	}
	c.stream.note(err)
	return err
}

// Health implements [core.HealthChecker] with [Config.Ping]. Without one it returns
// nil at once.
func (c *Conn) Health(ctx context.Context) error {
	if c.ping == nil {
		return nil
	}
	return c.Call(ctx, c.ping)
}

// Close closes the connection and makes a call in flight on it fail; it may be
// called concurrently with one. TLS says goodbye only on a connection that is
// idle and not broken: on another the message could block.
func (c *Conn) Close() error {
	if c.guard.Abandon() || c.broken.Load() {
		return c.sock.Raw.Close()
	}
	return c.sock.Conn.Close()
}

// stream is the connection that remembers its first error, and what this call has
// sent and received.
type stream struct {
	net.Conn

	guard *sock.Guard

	err      error
	begun    time.Time // the call
	deadline time.Time // of the call; zero for none
	armed    bool      // a deadline was set through the stream
	sent     int       // bytes
	left     int64     // bytes that this call may read; below 0 = any number
	received bool      // a byte at least
	awaiting bool      // nothing was received since the last was sent
	idled    bool      // the time was over before the function sent or read anything
}

// begin begins a call, which may read so many bytes.
func (s *stream) begin(now, deadline time.Time, maxRead int64) {
	s.forget()
	s.left = maxRead
	s.begun, s.deadline = now, deadline
	if !deadline.IsZero() {
		s.note(s.Conn.SetDeadline(deadline))
	}
}

// forget forgets the last call.
func (s *stream) forget() { s.sent, s.received, s.awaiting, s.idled = 0, false, false, false }

// end ends a call, whose deadlines end with it.
func (s *stream) end(hit bool) {
	s.left = -1
	if hit || s.armed || !s.deadline.IsZero() {
		s.disarm()
	}
	s.deadline = time.Time{}
}

// disarm ends the deadlines. If that fails, so does the next call.
func (s *stream) disarm() {
	s.armed = false
	_ = s.Conn.SetDeadline(time.Time{})
}

// SetDeadline, SetReadDeadline and SetWriteDeadline are for functions of calls.
func (s *stream) SetDeadline(t time.Time) error { return s.arm(s.Conn.SetDeadline, t) }

func (s *stream) SetReadDeadline(t time.Time) error { return s.arm(s.Conn.SetReadDeadline, t) }

func (s *stream) SetWriteDeadline(t time.Time) error { return s.arm(s.Conn.SetWriteDeadline, t) }

// arm sets a deadline within that of the call.
func (s *stream) arm(set func(time.Time) error, t time.Time) error {
	if !s.deadline.IsZero() && (t.IsZero() || t.After(s.deadline)) {
		t = s.deadline
	}
	s.armed = true
	err := set(t)
	if s.guard.Hit() { // the call was canceled, before or meanwhile
		err = set(past)
	}
	return err
}

func (s *stream) Read(b []byte) (int, error) {
	if s.left == 0 {
		s.note(ErrMaxRead)
		return 0, ErrMaxRead
	}
	if s.left > 0 {
		b = b[:min(int64(len(b)), s.left)]
	}
	n, err := s.Conn.Read(b)
	if n > 0 {
		if s.left > 0 {
			s.left -= int64(n)
		}
		s.received, s.awaiting = true, false
	}
	s.note(err)
	return n, err
}

func (s *stream) Write(b []byte) (int, error) {
	n, err := s.Conn.Write(b)
	if n > 0 {
		s.awaiting = true
	}
	if err != nil && s.err == nil && s.sent+n == 0 && !s.received {
		s.idled = isTimeout(err)
	}
	s.sent += n
	s.note(err)
	return n, err
}

func (s *stream) note(err error) {
	if err != nil && s.err == nil {
		s.err = err
	}
}

// outcome is what a call says about the server whose function returned an error
// of its own: nothing, unless the server has answered.
func (s *stream) outcome() balance.Outcome {
	if s.received {
		return balance.OutcomeOK
	}
	return balance.OutcomeNeutral
}

// sending is what the writer writes to. Before the first bytes of a request it
// looks at the connection, if the last look was a while ago.
type sending struct{ conn *Conn }

// lookAfter is how long a function may take to send something before the
// connection is looked at again.
const lookAfter = time.Millisecond

func (w sending) Write(b []byte) (int, error) {
	s := &w.conn.stream
	if s.sent == 0 && !s.received && !s.begun.IsZero() && time.Since(s.begun) > lookAfter && s.err == nil {
		if err := w.conn.look(); err != nil {
			return 0, err
		}
	}
	return s.Write(b)
}

// flushing is what the reader reads. It sends the requests before it may have to
// wait for an answer.
type flushing struct {
	stream *stream
	w      *bufio.Writer
}

func (f flushing) Read(b []byte) (int, error) {
	if f.w.Buffered() > 0 {
		if err := f.w.Flush(); err != nil {
			return 0, err
		}
	}
	return f.stream.Read(b)
}

var (
	_ core.Peeker        = (*Conn)(nil)
	_ core.HealthChecker = (*Conn)(nil)
)
