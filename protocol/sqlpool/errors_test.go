package sqlpool_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/protocol/sqlpool"
)

func TestOutcomesOfErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		want balance.Outcome
	}{
		{nil, balance.OutcomeOK},
		{&sqlError{"23505", "unique"}, balance.OutcomeOK},
		{fmt.Errorf("wrapped: %w", &sqlError{"25006", "read-only"}), balance.OutcomeOK},
		{&sqlError{"57014", "statement timeout"}, balance.OutcomeOK},
		{&sqlError{"57P01", "shuts down"}, balance.OutcomeFailure},
		{&sqlError{"57P03", "starts"}, balance.OutcomeFailure},
		{&sqlError{"08006", "connection failure"}, balance.OutcomeFailure},
		{&sqlError{"53300", "too many"}, balance.OutcomeOverload},
		{errors.Join(context.Canceled, &sqlError{"57014", "canceled"}), balance.OutcomeCanceled},
		{driver.ErrBadConn, balance.OutcomeFailure},
		{io.ErrUnexpectedEOF, balance.OutcomeFailure},
		{context.DeadlineExceeded, balance.OutcomeFailure},
		{errors.New("cannot encode a channel"), balance.OutcomeNeutral},
	} {
		if got := sqlpool.Classify(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}

func TestErrorsAreCut(t *testing.T) {
	err := &sqlpool.Error{Endpoint: "h:1", Err: errors.New(strings.Repeat("x", 1<<20))}
	if n := len(err.Error()); n > 5000 {
		t.Errorf("%d bytes", n)
	}
}
