package netpool

import (
	"context"
	"errors"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/internal/brief"
)

// ErrOutOfSync means that what is read next would not be the answer to what is
// written next. A call leaves its connection so
//
//   - when it leaves bytes unread that had arrived;
//   - when its function returns an error with a request half sent, or sent and
//     not answered;
//   - when its function returns an error that matches ErrOutOfSync, as it should
//     when it does not understand an answer.
var ErrOutOfSync = errors.New("the connection is out of sync")

// ErrMaxRead means that a call has read as much as [Config.MaxRead] allows, and
// wanted more. The connection is closed. The error says nothing about the health of
// the server, so that one large answer ejects nobody.
var ErrMaxRead = errors.New("the answer is larger than MaxRead")

// Error is a call that failed because of its connection. Errors that the function
// of the call made by itself are returned as they are.
//
// With errors.Is it matches context.Canceled or context.DeadlineExceeded where the
// caller's context ended the call, os.ErrDeadlineExceeded where [Config.Timeout]
// did, and the errors of the network, such as io.EOF and syscall.ECONNRESET.
type Error struct {
	// Endpoint is the address of the server.
	Endpoint string
	// Err is the cause: the first error of reading or writing, [ErrOutOfSync],
	// or that of a context which had ended before the call, with its cause.
	Err error
	// Returned is what the function returned, when that is something else. The
	// Error matches it if Err is [ErrOutOfSync]; otherwise Returned is only part
	// of the text.
	Returned error
	// Ctx is the context's error if that ended the call, else nil. It matches the
	// context's cause too, see [context.Cause].
	Ctx error

	idled bool // the function had let the time pass before it sent anything
}

// Error names the server, the cause, and what the function returned, each in at most
// 4 KiB.
func (e *Error) Error() string {
	s := "netpool: " + e.Endpoint + ": "
	if e.Ctx != nil {
		s += brief.Text(e.Ctx) + ": "
	}
	s += brief.Text(e.Err)
	if e.Returned != nil {
		s += " (the function returned: " + brief.Text(e.Returned) + ")"
	}
	return s
}

// Unwrap returns the cause, the context's error, and what the function returned if
// no reading or writing failed.
func (e *Error) Unwrap() []error {
	errs := append(make([]error, 0, 2), e.Err)
	if e.Ctx != nil {
		errs = append(errs, e.Ctx)
	}
	if e.stopped() {
		errs = append(errs, e.Returned)
	}
	return errs
}

// stopped reports whether the function stopped in the middle of an exchange.
func (e *Error) stopped() bool { return e.Returned != nil && errors.Is(e.Err, ErrOutOfSync) }

// outcome is what the Error says about the server.
func (e *Error) outcome() balance.Outcome {
	switch {
	case errors.Is(e.Ctx, context.Canceled), errors.Is(e.Err, context.Canceled):
		return balance.OutcomeCanceled
	case errors.Is(e.Err, ErrMaxRead), e.stopped(), e.idled, e.Ctx == nil && errors.Is(e.Err, context.DeadlineExceeded): // that was before the call
		return balance.OutcomeNeutral
	default:
		return balance.OutcomeFailure
	}
}

// Classify is the classifier of pools with connections of [Dial]. It is for
// classifiers that know more kinds of errors, see [core.WithClassifier]. It is
// safe for concurrent use.
//
//   - nil is OutcomeOK. So is an error that the function of [Do] made by itself,
//     after the server had sent something; if it had not, the error is
//     OutcomeNeutral.
//   - An [*Error] is OutcomeCanceled if the caller gave up. It is OutcomeNeutral
//     if the time was over before the call, or before it sent anything, if the answer was
//     larger than [Config.MaxRead], or if the function stopped with an error of its own in the
//     middle of an exchange. All others are
//     OutcomeFailure: broken connections, timeouts, answers that the function did
//     not understand or did not expect.
//   - Any other error is what [core.Classify] says.
func Classify(err error) balance.Outcome {
	if err == nil {
		return balance.OutcomeOK
	}
	var a *application
	if errors.As(err, &a) {
		return a.outcome
	}
	var e *Error
	if errors.As(err, &e) {
		return e.outcome()
	}
	return core.Classify(err)
}
