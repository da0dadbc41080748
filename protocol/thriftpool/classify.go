package thriftpool

import (
	"context"
	"errors"
	"net"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/retry"
)

// This file holds the rules: what the end of a call means for the server, for
// the connection, and for another attempt.

// facts are what a connection knows of a call that has ended.
type facts struct {
	err     error // of the Thrift client
	io      error // the first of the connection
	out     int   // bytes sent
	flushed bool  // the request was sent completely
	begun   bool  // bytes of the reply were given to the protocol
	frames  bool  // no server executes a request whose last byte is missing
	oneway  bool  // there is no reply
	left    bool  // more was received than the reply
	refused bool  // the request is too large for a frame, and nothing of it was sent
	large   bool  // the server closed the connection of a request larger than any that was answered
	ctx     error // of the context, if that ended the call
}

// ending is what follows from the facts.
type ending struct {
	outcome balance.Outcome
	// silent: nothing is reported to the balancer.
	silent bool
	// keep: the connection is fit for the next call.
	keep    bool
	verdict retry.Verdict
	// ctx is the context's error if that ended the call.
	ctx error
	// large: the request may be more than any server accepts.
	large bool
	// hungUp: the server closed a connection on which it never answered, before
	// anything was sent.
	hungUp bool
}

// judge applies the rules.
func judge(f facts) ending {
	switch {
	case f.err == nil:
		// A oneway call that was sent proves nothing about the server's health. A
		// reply with more behind it is a reply, and the next one is not.
		return ending{outcome: balance.OutcomeOK, silent: f.oneway, keep: !f.left}
	case f.ctx != nil:
		return ending{outcome: outcomeOf(f.ctx), ctx: f.ctx}
	case errors.Is(f.io, net.ErrClosed):
		// The pool has closed it, at the end of a drain.
		return ending{outcome: balance.OutcomeNeutral, verdict: f.verdict()}
	case f.large:
		// A server that fails, and one that refuses the size, look the same.
		return ending{outcome: balance.OutcomeNeutral, verdict: f.verdict(), large: true}
	case f.io != nil:
		return ending{outcome: balance.OutcomeFailure, verdict: f.verdict()}
	case f.refused:
		return ending{outcome: balance.OutcomeNeutral, keep: true}
	case !f.flushed:
		// Nothing failed but the encoding: the arguments are at fault. Part
		// of them may be in the buffers of the stack.
		return ending{outcome: balance.OutcomeNeutral}
	}
	if app, ok := errors.AsType[thrift.TApplicationException](f.err); ok {
		outcome, keep := judgeApplication(app.TypeId())
		return ending{outcome: outcome, keep: keep && !f.left}
	}
	// The reply cannot be understood.
	return ending{outcome: balance.OutcomeFailure}
}

// outcomeOf returns the outcome of a call that was ended by its context, whose
// error is err.
func outcomeOf(err error) balance.Outcome {
	if errors.Is(err, context.Canceled) { // its cause may be another call's deadline
		return balance.OutcomeCanceled
	}
	return balance.OutcomeFailure
}

// verdict says how far a call got whose connection broke.
func (f facts) verdict() retry.Verdict {
	switch {
	case f.begun: // part of the reply, at least, may be in the caller's result
		return retry.VerdictDone
	case !f.flushed && (f.out == 0 || f.frames):
		return retry.VerdictUnsent
	default:
		return retry.VerdictFailed
	}
}

// judgeApplication decides by the type of a TApplicationException. A connection is
// kept if its server has read the request and reports that it refused or failed
// it. The other types mean that client and server are out of sync.
func judgeApplication(kind int32) (outcome balance.Outcome, keep bool) {
	switch kind {
	case thrift.UNKNOWN_METHOD, thrift.VALIDATION_FAILED:
		return balance.OutcomeOK, true // it is the request that is wrong
	case thrift.INTERNAL_ERROR, thrift.MISSING_RESULT:
		return balance.OutcomeFailure, true // the handler failed
	default:
		return balance.OutcomeFailure, false
	}
}

// Classify is the classifier of pools with connections of [Dial], for calls that
// are made through the pool's Do. It is for classifiers that know more kinds of
// errors, see [core.WithClassifier]. It is safe for concurrent use.
//
//   - nil and exceptions of the IDL are OutcomeOK; so are the
//     TApplicationExceptions UNKNOWN_METHOD and VALIDATION_FAILED.
//   - The caller's cancellation is OutcomeCanceled.
//   - Arguments that cannot be encoded, or are too large, are OutcomeNeutral. So is
//     the end of a connection by a request that may be more than the server accepts.
//   - All else that Thrift reports is OutcomeFailure: timeouts, broken
//     connections, replies that cannot be understood, INTERNAL_ERROR and the other
//     TApplicationExceptions.
//   - Any other error, such as the application's own, is what [core.Classify]
//     says.
func Classify(err error) balance.Outcome {
	if err == nil {
		return balance.OutcomeOK
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Outcome
	}
	if app, ok := errors.AsType[thrift.TApplicationException](err); ok {
		outcome, _ := judgeApplication(app.TypeId())
		return outcome
	}
	if ex, ok := errors.AsType[thrift.TException](err); ok && !errors.Is(err, context.Canceled) {
		switch ex.TExceptionType() {
		case thrift.TExceptionTypeCompiled:
			return balance.OutcomeOK
		case thrift.TExceptionTypeTransport, thrift.TExceptionTypeProtocol:
			return balance.OutcomeFailure
		default:
		}
	}
	return core.Classify(err)
}
