package core_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

func TestAConnectionIsKeptAfterAnErrorUnlessItReportsThatItIsOutOfOrder(t *testing.T) {
	application := errors.New("no such user")
	as := func(o balance.Outcome) core.Option {
		return core.WithClassifier(func(error) balance.Outcome { return o })
	}
	for _, c := range []struct {
		err    error
		opts   []core.Option
		peeked bool
	}{
		{nil, nil, false},
		{core.Answered(application), nil, true},
		{application, nil, true},
		{application, []core.Option{as(balance.OutcomeOK)}, true},
		{application, []core.Option{as(balance.OutcomeOverload)}, true},
	} {
		for _, broken := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, broken %v", c.err, broken), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFleet(t, "a:1")
					p := f.peekPool(c.opts...)
					var l peekLink
					if err := p.Do(t.Context(), func(_ context.Context, c2 peekLink) error {
						if l = c2; broken {
							l.fails(func(context.Context) error { return io.EOF })
						}
						return c.err
					}); !errors.Is(err, c.err) {
						t.Errorf("got %v", err)
					}
					synctest.Wait()
					if keeps := !broken || !c.peeked; l.closed.Load() == keeps || (l.checks.Load() > 0) != c.peeked {
						t.Errorf("closed: %v, after %d looks", l.closed.Load(), l.checks.Load())
					}
				})
			})
		}
	}
}

func TestTheDefaultClassifierServesOthers(t *testing.T) {
	for _, c := range []struct {
		err  error
		want balance.Outcome
	}{
		{nil, balance.OutcomeOK},
		{core.Answered(io.EOF), balance.OutcomeOK},
		{fmt.Errorf("call: %w", context.Canceled), balance.OutcomeCanceled},
		{context.DeadlineExceeded, balance.OutcomeFailure},
		{io.ErrUnexpectedEOF, balance.OutcomeFailure},
		{errors.New("no such user"), balance.OutcomeNeutral},
	} {
		if got := core.Classify(c.err); got != c.want {
			t.Errorf("%v is %v, want %v", c.err, got, c.want)
		}
	}
}
