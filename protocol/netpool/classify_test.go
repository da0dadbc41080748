package netpool_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
	"github.com/minicaptain/multi_connection_pool/protocol/netpool"
)

var errNoCredit = errors.New("user has no credit")

// counted is a server that answers each line with answer, and its counts.
type counted struct {
	addr           string
	conns, answers atomic.Int32
}

func answering(t *testing.T, answer string) *counted {
	t.Helper()
	s := new(counted)
	s.addr = prototest.Listen(t, func(nc net.Conn) {
		s.conns.Add(1)
		for readLine(nc) {
			s.answers.Add(1)
			write(nc, answer+"\n")
		}
	})
	return s
}

// credit asks a server, and returns an error of its own if it says no.
func credit(c *netpool.Conn) error {
	var answer string
	if err := say("credit?", &answer)(c); err != nil {
		return err
	}
	if answer == "no" {
		return errNoCredit
	}
	return nil
}

// outcomes is a balancer that takes any server and counts the reports.
type outcomes struct{ counts [8]atomic.Int32 }

func (o *outcomes) Build(balance.Picker, []balance.Member) balance.Picker { return o }
func (o *outcomes) Pick(balance.PickInfo) int                             { return 0 }
func (o *outcomes) Report(_ int, r balance.Report)                        { o.counts[r.Outcome].Add(1) }

// of returns how many reports there were of an outcome.
func (o *outcomes) of(outcome balance.Outcome) int32 { return o.counts[outcome].Load() }

func TestErrorsOfTheApplicationCostNoConnectionAndEjectNobody(t *testing.T) {
	poor, rich := answering(t, "no"), answering(t, "yes")
	var bad atomic.Int32
	pool := newPool(t, netpool.Config{}, []string{poor.addr, rich.addr}, core.WithBalancer(balance.RoundRobin()),
		core.WithObserver(func(e core.Event) {
			switch e.Kind {
			case core.EventEndpointEjected, core.EventEjectionSuppressed, core.EventConnClosed:
				bad.Add(1)
			default:
			}
		}))
	const calls = 400
	failed := 0
	for i := range calls {
		if err := netpool.Do(t.Context(), pool, credit); err == errNoCredit { //nolint:errorlint // it must come as it is
			failed++
		} else if err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
	}
	if n, m := poor.answers.Load(), rich.answers.Load(); n != calls/2 || m != calls/2 || failed != calls/2 {
		t.Errorf("the servers were asked %d and %d times, %d errors", n, m, failed)
	}
	if n, m := poor.conns.Load(), rich.conns.Load(); n != 1 || m != 1 {
		t.Errorf("%d and %d connections", n, m)
	}
	if n := bad.Load(); n != 0 {
		t.Errorf("%d connections closed or servers ejected", n)
	}
}

func TestTheOutcomeOfACallIsReported(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	silent := prototest.Listen(t, func(nc net.Conn) {
		for readLine(nc) {
			cancel()
		}
	})
	yes := answering(t, "yes").addr
	dying := prototest.Listen(t, func(nc net.Conn) { readLine(nc) })
	for _, c := range []struct {
		name  string
		addr  string
		ctx   context.Context
		fn    func(*netpool.Conn) error
		want  balance.Outcome
		keeps bool
	}{
		{"an answer", yes, t.Context(), credit, balance.OutcomeOK, true},
		{"an error after an answer", yes, t.Context(), func(c *netpool.Conn) error {
			return errors.Join(credit(c), errNoCredit)
		}, balance.OutcomeOK, true},
		{"an error that looks like the network's after an answer", yes, t.Context(), func(c *netpool.Conn) error {
			return errors.Join(credit(c), io.ErrUnexpectedEOF)
		}, balance.OutcomeOK, true},
		{"the failure of another server after an answer", yes, t.Context(), func(c *netpool.Conn) error {
			return errors.Join(credit(c), &netpool.Error{Err: netpool.ErrOutOfSync})
		}, balance.OutcomeOK, true},
		{"an answer that the function marks", yes, t.Context(), func(c *netpool.Conn) error {
			return core.Answered(errors.Join(credit(c), errNoCredit))
		}, balance.OutcomeOK, true},
		{"an error before anything is sent", yes, t.Context(), func(*netpool.Conn) error { return errNoCredit }, balance.OutcomeNeutral, true},
		{"an error before the answer", yes, t.Context(), func(c *netpool.Conn) error {
			fmt.Fprint(c, "credit?\n")
			return errors.Join(c.Flush(), errNoCredit)
		}, balance.OutcomeNeutral, false},
		{"an answer that the function does not understand", yes, t.Context(), func(c *netpool.Conn) error {
			return errors.Join(credit(c), fmt.Errorf("neither yes nor no: %w", netpool.ErrOutOfSync))
		}, balance.OutcomeFailure, false},
		{"a broken connection", dying, t.Context(), credit, balance.OutcomeFailure, false},
		{"a broken connection, marked as an answer", dying, t.Context(), func(c *netpool.Conn) error {
			return core.Answered(credit(c))
		}, balance.OutcomeOK, false},
		{"a caller who gives up", silent, canceled, credit, balance.OutcomeCanceled, false},
		{"a deadline that has passed before the call", yes, late{t.Context(), time.Now()}, credit, balance.OutcomeNeutral, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var seen outcomes
			pool := newPool(t, netpool.Config{}, []string{c.addr}, core.WithBalancer(&seen))
			err := netpool.Do(c.ctx, pool, c.fn)
			if seen.of(c.want) != 1 {
				t.Errorf("reports by outcome %v, want one of %v; %v", &seen.counts, c.want, err)
			}
			if c.keeps {
				if st := pool.Stats().Endpoints[0]; st.Idle != 1 {
					t.Errorf("the connection was not kept: %+v", st)
				}
				return
			}
			prototest.Until(t, "the connection is closed", func() bool { return pool.Stats().Endpoints[0].Open == 0 })
		})
	}
}

func TestClassifiersOfTheUserSeeWhatTheFunctionReturned(t *testing.T) {
	var seen outcomes
	pool := newPool(t, netpool.Config{}, []string{answering(t, "no").addr}, core.WithBalancer(&seen),
		core.WithClassifier(func(err error) balance.Outcome {
			if errors.Is(err, errNoCredit) {
				return balance.OutcomeOverload
			}
			return netpool.Classify(err)
		}))
	if err := netpool.Do(t.Context(), pool, credit); !errors.Is(err, errNoCredit) || seen.of(balance.OutcomeOverload) != 1 {
		t.Errorf("reports by outcome %v; %v", &seen.counts, err)
	}
	marked := func(c *netpool.Conn) error { return core.Answered(credit(c)) }
	if err := netpool.Do(t.Context(), pool, marked); !errors.Is(err, errNoCredit) || seen.of(balance.OutcomeOK) != 1 {
		t.Errorf("reports by outcome %v; %v", &seen.counts, err)
	}
	other := errors.New("another")
	if err := netpool.Do(t.Context(), pool, func(c *netpool.Conn) error {
		_ = credit(c)
		return other
	}); err != other || seen.of(balance.OutcomeOK) != 2 { //nolint:errorlint // it must come as it is
		t.Errorf("reports by outcome %v; %v", &seen.counts, err)
	}
}

// The rest of an answer arrives after the function has read what it wanted.
func TestWhatArrivesAfterAnErrorIsNotTheAnswerToTheNextCall(t *testing.T) {
	wanted := make(chan struct{}, 1)
	pool := newPool(t, netpool.Config{}, []string{prototest.Listen(t, func(nc net.Conn) {
		for readLine(nc) {
			write(nc, "no\n")
			<-wanted
			write(nc, "because\n")
		}
	})}, core.MaxActive(1))
	for i := range 3 {
		if err := netpool.Do(t.Context(), pool, func(c *netpool.Conn) error {
			err := credit(c)
			wanted <- struct{}{}
			prototest.Until(t, "the rest has arrived", func() bool { return c.Peek() != nil })
			return err
		}); !errors.Is(err, errNoCredit) {
			t.Errorf("call %d: %v", i, err)
		}
	}
}

func TestClassifyReadsErrorsOfAnyLayer(t *testing.T) {
	for _, c := range []struct {
		err  error
		want balance.Outcome
	}{
		{nil, balance.OutcomeOK},
		{errNoCredit, balance.OutcomeNeutral},
		{core.Answered(io.EOF), balance.OutcomeOK},
		{io.EOF, balance.OutcomeFailure},
		{context.Canceled, balance.OutcomeCanceled},
		{context.DeadlineExceeded, balance.OutcomeFailure},
		{fmt.Errorf("in the caller: %w", &netpool.Error{Err: io.EOF}), balance.OutcomeFailure},
		{&netpool.Error{Err: io.EOF, Ctx: context.Canceled}, balance.OutcomeCanceled},
		{&netpool.Error{Err: io.EOF, Ctx: context.DeadlineExceeded}, balance.OutcomeFailure},
		{&netpool.Error{Err: context.DeadlineExceeded}, balance.OutcomeNeutral},
		{&netpool.Error{Err: netpool.ErrOutOfSync}, balance.OutcomeFailure},
		{&netpool.Error{Err: netpool.ErrOutOfSync, Returned: context.Canceled}, balance.OutcomeNeutral},
		{&netpool.Error{Err: io.EOF, Returned: context.Canceled}, balance.OutcomeFailure},
	} {
		if got := netpool.Classify(c.err); got != c.want {
			t.Errorf("Classify(%v) = %v, want %v", c.err, got, c.want)
		}
	}
}

// A function that lets its time pass before it sends anything is no fault of the server's.
func TestAFunctionThatIsSlowItselfBlamesNoServer(t *testing.T) {
	for name, c := range map[string]struct {
		conf    netpool.Config
		timeout time.Duration
	}{
		"by the context": {netpool.Config{}, 10 * time.Millisecond},
		"by the timeout": {netpool.Config{Timeout: 10 * time.Millisecond}, prototest.Patience},
	} {
		t.Run(name, func(t *testing.T) {
			conn := dialed(t, c.conf, prototest.Listen(t, echo))
			ctx, cancel := context.WithTimeout(t.Context(), c.timeout)
			defer cancel()
			err := conn.Call(ctx, func(c *netpool.Conn) error {
				time.Sleep(30 * time.Millisecond) // its own work
				_, _ = c.WriteString("question\n")
				_, err := c.ReadString('\n')
				return err
			})
			if got := netpool.Classify(err); err == nil || got != balance.OutcomeNeutral {
				t.Errorf("error %v is %v", err, got)
			}
			conn = dialed(t, c.conf, prototest.Listen(t, prototest.Silent))
			ctx, cancel = context.WithTimeout(t.Context(), c.timeout)
			defer cancel()
			err = conn.Call(ctx, func(c *netpool.Conn) error { // that waits for the server to begin
				_, err := c.ReadString('\n')
				return err
			})
			if got := netpool.Classify(err); err == nil || got != balance.OutcomeFailure {
				t.Errorf("a server that does not speak: error %v is %v", err, got)
			}
		})
	}
}
