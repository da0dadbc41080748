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

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/internal/echotest/echo"
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
		want verdict
	}{
		{
			"a reply keeps the connection",
			facts{out: 50, begun: true, flushed: true, frames: true},
			verdict{class: core.OK, keep: true, fate: answered, final: true},
		},
		{
			"a reply with bytes behind it costs the connection",
			facts{out: 50, begun: true, flushed: true, left: true},
			verdict{class: core.OK, fate: answered, final: true},
		},
		{
			"a oneway call is not reported and keeps the connection",
			facts{out: 50, flushed: true, oneway: true},
			verdict{class: core.OK, silent: true, keep: true, fate: answered, final: true},
		},
		{
			"a oneway call that was not sent goes elsewhere",
			facts{err: boom, io: syscall.EPIPE, frames: true, oneway: true},
			verdict{class: core.Failure, fate: unsent},
		},

		{"a connection lost before the reply leaves the call in doubt", lost, verdict{class: core.Failure, fate: unanswered}},
		{
			"a reset leaves the call in doubt",
			with(sent, func(f *facts) { f.io = syscall.ECONNRESET }),
			verdict{class: core.Failure, fate: unanswered},
		},
		{
			"a connection lost within the reply proves that it was executed",
			with(lost, func(f *facts) { f.begun = true }),
			verdict{class: core.Failure, fate: answered},
		},
		{
			"a timeout of the attempt leaves the call in doubt",
			with(sent, func(f *facts) { f.io = os.ErrDeadlineExceeded }),
			verdict{class: core.Failure, fate: unanswered},
		},
		{
			"a connection that the pool closed says nothing of the server",
			with(sent, func(f *facts) { f.io = net.ErrClosed }),
			verdict{class: core.Ignored, fate: unanswered},
		},

		{
			"a frame that was not sent whole was not executed",
			facts{err: boom, io: syscall.EPIPE, out: 30, frames: true},
			verdict{class: core.Failure, fate: unsent},
		},
		{
			"without frames part of a request leaves the call in doubt",
			facts{err: boom, io: syscall.EPIPE, out: 30},
			verdict{class: core.Failure, fate: unanswered},
		},
		{
			"without frames nothing sent is nothing executed",
			facts{err: boom, io: syscall.EPIPE},
			verdict{class: core.Failure, fate: unsent},
		},

		{
			"the caller's cancellation is not the server's fault",
			with(sent, func(f *facts) { f.io, f.ending = os.ErrDeadlineExceeded, cancelled }),
			verdict{class: core.Cancelled, fate: unanswered, final: true, ending: cancelled},
		},
		{
			"the caller's deadline is the server's fault and the end",
			with(sent, func(f *facts) { f.io, f.ending = os.ErrDeadlineExceeded, overdue }),
			verdict{class: core.Failure, fate: unanswered, final: true, ending: overdue},
		},

		{
			"arguments that cannot be encoded are the caller's fault",
			facts{err: boom, frames: true},
			verdict{class: core.Ignored, fate: unsent, final: true},
		},
		{
			"a reply that cannot be decoded is the server's fault",
			with(sent, func(f *facts) { f.begun = true }),
			verdict{class: core.Failure, fate: answered, final: true},
		},

		{
			"bytes behind an application exception cost the connection",
			with(sent, func(f *facts) { f.err, f.begun, f.left = app(thrift.INTERNAL_ERROR), true, true }),
			verdict{class: core.Failure, fate: answered, final: true},
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
		class core.Class
		keep  bool
	}
	wants := map[int32]want{
		thrift.UNKNOWN_APPLICATION_EXCEPTION:  {core.Failure, false},
		thrift.UNKNOWN_METHOD:                 {core.OK, true},
		thrift.INVALID_MESSAGE_TYPE_EXCEPTION: {core.Failure, false},
		thrift.WRONG_METHOD_NAME:              {core.Failure, false},
		thrift.BAD_SEQUENCE_ID:                {core.Failure, false},
		thrift.MISSING_RESULT:                 {core.Failure, true},
		thrift.INTERNAL_ERROR:                 {core.Failure, true},
		thrift.PROTOCOL_ERROR:                 {core.Failure, false},
		thrift.INVALID_TRANSFORM:              {core.Failure, false},
		thrift.INVALID_PROTOCOL:               {core.Failure, false},
		thrift.UNSUPPORTED_CLIENT_TYPE:        {core.Failure, false},
		thrift.VALIDATION_FAILED:              {core.OK, true},
		12:                                    {core.Failure, false},
		-1:                                    {core.Failure, false},
	}
	for kind, w := range wants {
		err := thrift.NewTApplicationException(kind, "")
		v := judge(facts{err: err, out: 50, begun: true, flushed: true, frames: true})
		if (want{v.class, v.keep}) != w || v.silent || !v.final {
			t.Errorf("type %d: %+v, want %+v", kind, v, w)
		}
		if c := Classify(fmt.Errorf("wrapped: %w", err)); c != w.class {
			t.Errorf("Classify of type %d: %v, want %v", kind, c, w.class)
		}
	}
}

func TestClassifyReadsErrorsOfAnyLayer(t *testing.T) {
	for _, c := range []struct {
		err  error
		want core.Class
	}{
		{nil, core.OK},
		{&echo.EchoError{Message: "no"}, core.OK},
		{&Error{Class: core.Ignored, Err: io.EOF}, core.Ignored},
		{fmt.Errorf("in the caller: %w", &Error{Class: core.Cancelled, Err: io.EOF}), core.Cancelled},
		{context.Canceled, core.Cancelled},
		{context.DeadlineExceeded, core.Failure},
		{thrift.NewTTransportException(thrift.TIMED_OUT, ""), core.Failure},
		{thrift.NewTProtocolException(io.EOF), core.Failure},
		{errors.New("whatever"), core.Failure},
	} {
		if got := Classify(c.err); got != c.want {
			t.Errorf("Classify(%v) = %v, want %v", c.err, got, c.want)
		}
	}
}
