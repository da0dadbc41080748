package thriftpool

import (
	"errors"
	"fmt"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/internal/brief"
)

// Error is a call that failed otherwise than by an exception of the IDL, which
// generated clients return as it is.
//
// With errors.As it yields the [thrift.TTransportException],
// [thrift.TProtocolException] or [thrift.TApplicationException] that ended the
// call, and the [*core.Error] if no connection could be leased. With errors.Is it
// matches context.Canceled or context.DeadlineExceeded, and the context's cause, if
// the caller's context ended the call, the errors of the network such as io.EOF and
// syscall.ECONNRESET, and os.ErrDeadlineExceeded after [Config.Timeout].
type Error struct {
	// Endpoint is the address of the server that was called last; empty if no
	// connection could be leased.
	Endpoint string
	// Method is the name of the method in the IDL. For a client of a [Service], the
	// name of the service and a colon come before it.
	Method string
	// Attempts is the number of attempts, without those on connections that had
	// ended before; 0 if no connection could be leased.
	Attempts int
	// Outcome is what the failure means for the server.
	Outcome balance.Outcome
	// Err is the cause.
	Err error
	// Ctx is the context's error, with its cause, if that ended the call, else nil;
	// see [context.Cause].
	Ctx error

	hungUp bool // a server closed a new connection before anything was sent, now or before
}

// Error names the method, the server and the cause, which may be what the server said:
// its text is cut above 4 KiB.
func (e *Error) Error() string {
	at := ""
	if e.Endpoint != "" {
		at = " at " + e.Endpoint
	}
	if e.Attempts > 1 {
		at += fmt.Sprintf(" (attempt %d)", e.Attempts)
	}
	if e.Ctx != nil && !errors.Is(e.Err, e.Ctx) {
		return fmt.Sprintf("thriftpool: %s%s: %s: %s", e.Method, at, brief.Text(e.Ctx), brief.Text(e.Err))
	}
	return fmt.Sprintf("thriftpool: %s%s: %s", e.Method, at, brief.Text(e.Err))
}

// Unwrap returns the cause and the context's error.
func (e *Error) Unwrap() []error {
	errs := make([]error, 0, 2)
	for _, err := range []error{e.Err, e.Ctx} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// transportError is a [thrift.TTransportException] that keeps its cause. Apache's
// constructors take either the type or the cause.
type transportError struct {
	kind int
	err  error
}

func (e *transportError) TExceptionType() thrift.TExceptionType {
	return thrift.TExceptionTypeTransport
}
func (e *transportError) TypeId() int   { return e.kind } //nolint:staticcheck // Apache's name
func (e *transportError) Err() error    { return e.err }
func (e *transportError) Unwrap() error { return e.err }
func (e *transportError) Error() string { return e.err.Error() }
func (e *transportError) Timeout() bool { return e.kind == thrift.TIMED_OUT }

var _ thrift.TTransportException = (*transportError)(nil)

var (
	errLeftover = errors.New("thriftpool: the server sent bytes that nobody asked for")
	errLarge    = errors.New("thriftpool: the server closed the connection of a large request")
	errPanic    = errors.New("thriftpool: the call panicked")
)
