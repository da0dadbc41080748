package thriftpool

import (
	"context"
	"errors"
	"net"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/core"
)

// This file holds the rules: what the outcome of a call tells of the server
// and of the connection, and whether the call may be sent again.

// fate says how far a call got.
type fate uint8

const (
	// unsent: no server can have executed it.
	unsent fate = iota
	// unanswered: it may have been executed; nothing of a reply was decoded.
	unanswered
	// answered: part of the reply, at least, may be in the caller's result.
	answered
)

// ending says whether the caller's context ended the call.
type ending uint8

const (
	running ending = iota
	cancelled
	overdue
)

// endingOf returns which way a context with that error ended.
func endingOf(err error) ending {
	if errors.Is(err, context.DeadlineExceeded) {
		return overdue
	}
	return cancelled
}

// err returns the error that a context with that ending has, or nil.
func (e ending) err() error {
	switch e {
	case cancelled:
		return context.Canceled
	case overdue:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// facts are what a connection knows of a call that has ended.
type facts struct {
	err     error  // of the Thrift client
	io      error  // the first of the connection
	out     int    // bytes sent
	flushed bool   // the request was sent completely
	begun   bool   // bytes of the reply were given to the protocol
	frames  bool   // no server executes a request whose last byte is missing
	oneway  bool   // there is no reply
	left    bool   // more was received than the reply
	ending  ending // by the context
}

// verdict is what follows from the facts.
type verdict struct {
	class core.Class
	// silent: nothing is reported to the balancer.
	silent bool
	// keep: the connection is fit for the next call.
	keep bool
	fate fate
	// final: sending the call again is pointless, whatever its fate.
	final bool
	// stale: the connection had ended before the call.
	stale bool
	// ending is that of the facts.
	ending ending
}

// judge applies the rules.
func judge(f facts) verdict {
	switch {
	case f.err == nil:
		// A oneway call that left proves nothing of the server's health. A
		// reply with more behind it is a reply, and the next one is not.
		return verdict{class: core.OK, silent: f.oneway, keep: !f.left, fate: answered, final: true}
	case f.ending == cancelled:
		return verdict{class: core.Cancelled, fate: f.fate(), final: true, ending: f.ending}
	case f.ending == overdue:
		return verdict{class: core.Failure, fate: f.fate(), final: true, ending: f.ending}
	case errors.Is(f.io, net.ErrClosed):
		// The pool has closed it, at the end of a drain.
		return verdict{class: core.Ignored, fate: f.fate()}
	case f.io != nil:
		return verdict{class: core.Failure, fate: f.fate()}
	case !f.flushed:
		// Nothing failed but the encoding: the arguments are at fault. Part
		// of them may be in the buffers of the stack.
		return verdict{class: core.Ignored, fate: f.fate(), final: true}
	}
	if app, ok := errors.AsType[thrift.TApplicationException](f.err); ok {
		class, keep := judgeApplication(app.TypeId())
		return verdict{class: class, keep: keep && !f.left, fate: answered, final: true}
	}
	// The reply cannot be understood.
	return verdict{class: core.Failure, fate: answered, final: true}
}

func (f facts) fate() fate {
	switch {
	case f.begun:
		return answered
	case f.flushed:
		return unanswered
	case f.out == 0 || f.frames:
		return unsent
	default:
		return unanswered
	}
}

// judgeApplication decides by the type of a TApplicationException. Kept are
// connections whose server read the request, refused or failed it and said so;
// the other types mean that client and server have lost each other.
func judgeApplication(kind int32) (class core.Class, keep bool) {
	switch kind {
	case thrift.UNKNOWN_METHOD, thrift.VALIDATION_FAILED:
		return core.OK, true // it is the request that is wrong
	case thrift.INTERNAL_ERROR, thrift.MISSING_RESULT:
		return core.Failure, true // the handler failed
	default:
		return core.Failure, false
	}
}

// Classify tells what an error of a call means for its server. Give it to
// [core.WithClassifier] when calls are made through the pool's Do. It is safe
// for concurrent use.
//
//   - nil and exceptions of the IDL are OK; so are the TApplicationExceptions
//     UNKNOWN_METHOD and VALIDATION_FAILED;
//   - the caller's cancellation is Cancelled;
//   - arguments that cannot be encoded, or are too large, are Ignored;
//   - everything else is Failure: timeouts, broken connections, replies that
//     cannot be understood, INTERNAL_ERROR and the other TApplicationExceptions.
func Classify(err error) core.Class {
	if err == nil {
		return core.OK
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class
	}
	if app, ok := errors.AsType[thrift.TApplicationException](err); ok {
		class, _ := judgeApplication(app.TypeId())
		return class
	}
	if ex, ok := errors.AsType[thrift.TException](err); ok && ex.TExceptionType() == thrift.TExceptionTypeCompiled {
		return core.OK
	}
	if errors.Is(err, context.Canceled) {
		return core.Cancelled
	}
	return core.Failure
}
