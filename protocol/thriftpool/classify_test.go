package thriftpool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
	"github.com/minicaptain/multi_connection_pool/retry"
)

func TestAnOutcomeDecidesReportConnectionAndRetry(t *testing.T) {
	boom := errors.New("boom")
	app := func(kind int32) error { return thrift.NewTApplicationException(kind, "") }
	sent := facts{err: boom, out: 50, flushed: true, frames: true}
	with := func(f facts, change func(*facts)) facts {
		change(&f)
		return f
	}
	lost := with(sent, func(f *facts) { f.io = io.EOF })
	for _, c := range []struct {
		name string
		f    facts
		want ending
	}{
		{
			"a reply keeps the connection",
			facts{out: 50, begun: true, flushed: true, frames: true},
			ending{outcome: balance.OutcomeOK, keep: true},
		},
		{
			"a reply with bytes behind it costs the connection",
			facts{out: 50, begun: true, flushed: true, left: true},
			ending{outcome: balance.OutcomeOK},
		},
		{
			"a oneway call is not reported and keeps the connection",
			facts{out: 50, flushed: true, oneway: true},
			ending{outcome: balance.OutcomeOK, silent: true, keep: true},
		},
		{
			"a oneway call that was not sent goes elsewhere",
			facts{err: boom, io: syscall.EPIPE, frames: true, oneway: true},
			ending{outcome: balance.OutcomeFailure, verdict: retry.VerdictUnsent},
		},

		{"a connection lost before the reply leaves the call in doubt", lost, ending{outcome: balance.OutcomeFailure, verdict: retry.VerdictFailed}},
		{
			"a reset leaves the call in doubt",
			with(sent, func(f *facts) { f.io = syscall.ECONNRESET }),
			ending{outcome: balance.OutcomeFailure, verdict: retry.VerdictFailed},
		},
		{
			"a connection lost within the reply proves that it was executed",
			with(lost, func(f *facts) { f.begun = true }),
			ending{outcome: balance.OutcomeFailure, verdict: retry.VerdictDone},
		},
		{
			"a timeout of the attempt leaves the call in doubt",
			with(sent, func(f *facts) { f.io = os.ErrDeadlineExceeded }),
			ending{outcome: balance.OutcomeFailure, verdict: retry.VerdictFailed},
		},
		{
			"a connection that the pool closed says nothing of the server",
			with(sent, func(f *facts) { f.io = net.ErrClosed }),
			ending{outcome: balance.OutcomeNeutral, verdict: retry.VerdictFailed},
		},

		{
			"a frame that was not sent whole was not executed",
			facts{err: boom, io: syscall.EPIPE, out: 30, frames: true},
			ending{outcome: balance.OutcomeFailure, verdict: retry.VerdictUnsent},
		},
		{
			"without frames part of a request leaves the call in doubt",
			facts{err: boom, io: syscall.EPIPE, out: 30},
			ending{outcome: balance.OutcomeFailure, verdict: retry.VerdictFailed},
		},
		{
			"without frames nothing sent is nothing executed",
			facts{err: boom, io: syscall.EPIPE},
			ending{outcome: balance.OutcomeFailure, verdict: retry.VerdictUnsent},
		},

		{
			"the caller's cancellation is not the server's fault",
			with(sent, func(f *facts) { f.io, f.ctx = os.ErrDeadlineExceeded, context.Canceled }),
			ending{outcome: balance.OutcomeCanceled, ctx: context.Canceled},
		},
		{
			"the caller's deadline is the server's fault and the end",
			with(sent, func(f *facts) { f.io, f.ctx = os.ErrDeadlineExceeded, context.DeadlineExceeded }),
			ending{outcome: balance.OutcomeFailure, ctx: context.DeadlineExceeded},
		},

		{
			"arguments that cannot be encoded are the caller's fault",
			facts{err: boom, frames: true},
			ending{outcome: balance.OutcomeNeutral},
		},
		{
			"a reply that cannot be decoded is the server's fault",
			with(sent, func(f *facts) { f.begun = true }),
			ending{outcome: balance.OutcomeFailure},
		},

		{
			"bytes behind an application exception cost the connection",
			with(sent, func(f *facts) { f.err, f.begun, f.left = app(thrift.INTERNAL_ERROR), true, true }),
			ending{outcome: balance.OutcomeFailure},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := judge(c.f); got != c.want {
				t.Errorf("judge(%+v)\n got %+v\nwant %+v", c.f, got, c.want)
			}
		})
	}
}

func TestApplicationExceptionsAreJudgedByTheirType(t *testing.T) {
	type want struct {
		outcome balance.Outcome
		keep    bool
	}
	wants := map[int32]want{
		thrift.UNKNOWN_APPLICATION_EXCEPTION:  {balance.OutcomeFailure, false},
		thrift.UNKNOWN_METHOD:                 {balance.OutcomeOK, true},
		thrift.INVALID_MESSAGE_TYPE_EXCEPTION: {balance.OutcomeFailure, false},
		thrift.WRONG_METHOD_NAME:              {balance.OutcomeFailure, false},
		thrift.BAD_SEQUENCE_ID:                {balance.OutcomeFailure, false},
		thrift.MISSING_RESULT:                 {balance.OutcomeFailure, true},
		thrift.INTERNAL_ERROR:                 {balance.OutcomeFailure, true},
		thrift.PROTOCOL_ERROR:                 {balance.OutcomeFailure, false},
		thrift.INVALID_TRANSFORM:              {balance.OutcomeFailure, false},
		thrift.INVALID_PROTOCOL:               {balance.OutcomeFailure, false},
		thrift.UNSUPPORTED_CLIENT_TYPE:        {balance.OutcomeFailure, false},
		thrift.VALIDATION_FAILED:              {balance.OutcomeOK, true},
		12:                                    {balance.OutcomeFailure, false},
		-1:                                    {balance.OutcomeFailure, false},
	}
	for kind, w := range wants {
		err := thrift.NewTApplicationException(kind, "")
		v := judge(facts{err: err, out: 50, begun: true, flushed: true, frames: true})
		if (want{v.outcome, v.keep}) != w || v.silent || v.verdict != retry.VerdictDone {
			t.Errorf("type %d: %+v, want %+v", kind, v, w)
		}
		if c := Classify(fmt.Errorf("wrapped: %w", err)); c != w.outcome {
			t.Errorf("Classify of type %d: %v, want %v", kind, c, w.outcome)
		}
	}
}

func TestClassifyReadsErrorsOfAnyLayer(t *testing.T) {
	for _, c := range []struct {
		err  error
		want balance.Outcome
	}{
		{nil, balance.OutcomeOK},
		{&echo.EchoError{Message: "no"}, balance.OutcomeOK},
		{&Error{Outcome: balance.OutcomeNeutral, Err: io.EOF}, balance.OutcomeNeutral},
		{fmt.Errorf("in the caller: %w", &Error{Outcome: balance.OutcomeCanceled, Err: io.EOF}), balance.OutcomeCanceled},
		{context.Canceled, balance.OutcomeCanceled},
		{context.DeadlineExceeded, balance.OutcomeFailure},
		{thrift.NewTTransportException(thrift.TIMED_OUT, ""), balance.OutcomeFailure},
		{thrift.NewTTransportException(thrift.UNKNOWN_TRANSPORT_EXCEPTION, "whatever"), balance.OutcomeFailure},
		{thrift.NewTProtocolException(errors.New("whatever")), balance.OutcomeFailure},
		{thrift.NewTTransportExceptionFromError(context.Canceled), balance.OutcomeCanceled},
		{io.EOF, balance.OutcomeFailure},
		{errors.New("the application's"), balance.OutcomeNeutral},
		{core.Answered(io.EOF), balance.OutcomeOK},
	} {
		if got := Classify(c.err); got != c.want {
			t.Errorf("Classify(%v) = %v, want %v", c.err, got, c.want)
		}
	}
}
