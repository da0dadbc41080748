package thriftpool

import (
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/apache/thrift/lib/go/thrift"
)

// refused reports whether the transport refused a request that is too large for a
// frame, before any byte of it was sent. The protocol has written the message to
// its end then, the transport has dropped it, and the next call finds both as new.
func (c *Conn) refused(err error) bool {
	if !c.encoded || !c.frames || c.wire.size > 0 || c.wire.err != nil {
		return false
	}
	pe, ok := errors.AsType[thrift.TProtocolException](err)
	return ok && pe.TypeId() == thrift.SIZE_LIMIT
}

// closedByPeer reports whether err is what a connection says that the server has
// closed or reset.
func closedByPeer(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// largeError is the end of a call whose request servers may refuse for its size.
type largeError struct {
	size int
	err  error
}

func (e *largeError) Error() string {
	return fmt.Sprintf("%v: the server closed the connection of a request of at least %d bytes, more than it may accept", e.err, e.size)
}

func (e *largeError) Unwrap() error { return e.err }

// isLarge reports whether err is of an attempt with a [largeError].
func isLarge(err error) bool {
	_, ok := errors.AsType[*largeError](err)
	return ok
}
