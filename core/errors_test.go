package core_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

func TestErrorTellsKindCauseStateAndCounts(t *testing.T) {
	refused, expired := errors.New("connection refused"), errors.New("session expired")
	for _, c := range []struct {
		name string
		err  core.Error
		want string
	}{
		{
			"closed",
			core.Error{Kind: core.ErrClosed, State: core.StateReady},
			"core: pool is closed; ready, 0 endpoints, 0 connections open, 0 idle, 0 dialing, 0 calls waiting",
		},
		{
			"out of time",
			core.Error{
				Kind: core.ErrExhausted, Cause: context.DeadlineExceeded, State: core.StateReady,
				Waited: 1500*time.Millisecond + 7,
			},
			"core: every connection is in use: context deadline exceeded after 1.5s; " +
				"ready, 0 endpoints, 0 connections open, 0 idle, 0 dialing, 0 calls waiting",
		},
		{
			"all at once",
			core.Error{
				Kind: core.ErrUnavailable, Cause: context.Canceled, LastDial: refused, LastWatch: expired,
				Endpoint: "a:1", State: core.StateStale,
			},
			"core: no endpoint could be dialed (wanted a:1): context canceled after 0s; " +
				"stale, 0 endpoints, 0 connections open, 0 idle, 0 dialing, 0 calls waiting; " +
				"last dial: connection refused; last watch: session expired",
		},
		{
			"no endpoint yet",
			core.Error{Kind: core.ErrNoEndpoint, LastWatch: expired},
			"core: no endpoint; pending, 0 endpoints, 0 connections open, 0 idle, 0 dialing, 0 calls waiting; " +
				"last watch: session expired",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.err.Error(); got != c.want {
				t.Errorf("it says\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestErrorMatchesItsKindAndItsCauses(t *testing.T) {
	all := []error{core.ErrClosed, core.ErrNoEndpoint, core.ErrExhausted, core.ErrUnavailable, context.Canceled, context.DeadlineExceeded, io.EOF, io.ErrNoProgress}
	for _, c := range []struct {
		name string
		err  core.Error
		want []error
	}{
		{"kind", core.Error{Kind: core.ErrClosed}, []error{core.ErrClosed}},
		{"cause", core.Error{Kind: core.ErrNoEndpoint, Cause: context.Canceled}, []error{core.ErrNoEndpoint, context.Canceled}},
		{"last dial", core.Error{Kind: core.ErrUnavailable, LastDial: io.EOF}, []error{core.ErrUnavailable, io.EOF}},
		{"last watch", core.Error{Kind: core.ErrExhausted, LastWatch: io.ErrNoProgress}, []error{core.ErrExhausted, io.ErrNoProgress}},
		{"a dial that was cut short", core.Error{Kind: core.ErrUnavailable, LastDial: fmt.Errorf("dial: %w", context.Canceled)}, []error{core.ErrUnavailable}},
		{"a watch that was cut short", core.Error{Kind: core.ErrNoEndpoint, LastWatch: context.DeadlineExceeded}, []error{core.ErrNoEndpoint}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, target := range all {
				want := false
				for _, w := range c.want {
					want = want || w == target //nolint:errorlint // the very error
				}
				if errors.Is(&c.err, target) != want {
					t.Errorf("matches %v: %v, want %v", target, !want, want)
				}
			}
			if got := len(c.err.Unwrap()); got != len(c.want) {
				t.Errorf("wraps %d errors, want %d", got, len(c.want))
			}
		})
	}
}

func TestNamesOfStatesClassesAndEvents(t *testing.T) {
	for _, c := range []struct {
		got, want string
	}{
		{string(core.StatePending), "pending"},
		{string(core.StateReady), "ready"},
		{string(core.StateEmpty), "empty"},
		{string(core.StateStale), "stale"},

		{balance.OutcomeOK.String(), "ok"},
		{balance.OutcomeFailure.String(), "failure"},
		{balance.OutcomeOverload.String(), "overload"},
		{balance.OutcomeNeutral.String(), "neutral"},
		{balance.OutcomeCanceled.String(), "canceled"},
		{balance.OutcomeDialFailure.String(), "dial failure"},
		{balance.Outcome(6).String(), "unknown outcome"},
		{balance.Outcome(255).String(), "unknown outcome"},

		{string(core.EventEndpointAdded), "endpoint added"},
		{string(core.EventEndpointRemoved), "endpoint removed"},
		{string(core.EventEndpointRejected), "endpoint rejected"},
		{string(core.EventEndpointDown), "endpoint down"},
		{string(core.EventEndpointUp), "endpoint up"},
		{string(core.EventDialed), "dialed"},
		{string(core.EventDialFailed), "dial failed"},
		{string(core.EventConnClosed), "connection closed"},
		{string(core.EventLeaseLeaked), "lease leaked"},
		{string(core.EventStateChanged), "state changed"},
		{string(core.EventWatchLost), "watch lost"},
		{string(core.EventWatchFailing), "watch failing"},
		{string(core.EventBalancerFailed), "balancer failed"},
		{string(core.EventEndpointEjected), "endpoint ejected"},
		{string(core.EventEndpointReadmitted), "endpoint readmitted"},
		{string(core.EventEjectionSuppressed), "ejection suppressed"},
	} {
		if c.got != c.want {
			t.Errorf("the name is %q, want %q", c.got, c.want)
		}
	}
}
