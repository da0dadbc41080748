package netpool

import (
	"context"
	"errors"

	"github.com/minicaptain/multi_connection_pool/core"
)

// ErrUnfinished: the call ended in the middle of an exchange. Bytes that had
// arrived were left unread, or the function failed with a request half sent.
// Whatever is read next would not be the answer to what is written next.
var ErrUnfinished = errors.New("the call left bytes unread or unsent")

// Error is a call that failed because of its connection. Errors that the function
// of the call made by itself are returned as they are.
//
// With errors.Is it matches context.Canceled or context.DeadlineExceeded where the
// caller's context ended the call, os.ErrDeadlineExceeded where [Config.Timeout]
// did, and the errors of the network, such as io.EOF and syscall.ECONNRESET.
type Error struct {
	// Endpoint is the address of the server.
	Endpoint string
	// Err is the cause: the first error of reading or writing, [ErrUnfinished],
	// or that of a context which had ended before the call.
	Err error
	// Said is what the function returned, when that is something else. It is for
	// people to read: the Error does not match it.
	Said error
	// Ctx is the context's error if that ended the call, else nil.
	Ctx error
}

// Error tells the server, the cause, and what the function said.
func (e *Error) Error() string {
	s := "netpool: " + e.Endpoint + ": "
	if e.Ctx != nil {
		s += e.Ctx.Error() + ": "
	}
	s += e.Err.Error()
	if e.Said != nil {
		s += " (the call said: " + e.Said.Error() + ")"
	}
	return s
}

// Unwrap returns the cause and the context's error.
func (e *Error) Unwrap() []error {
	if e.Ctx == nil {
		return []error{e.Err}
	}
	return []error{e.Err, e.Ctx}
}

// Classify is what a pool without [core.WithClassifier] does, for classifiers that
// know more kinds of errors: nil is OK, the caller's cancellation is Cancelled,
// and everything else is Failure. It is safe for concurrent use.
func Classify(err error) core.Class {
	switch {
	case err == nil:
		return core.OK
	case errors.Is(err, context.Canceled):
		return core.Cancelled
	default:
		return core.Failure
	}
}
