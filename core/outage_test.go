package core_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

// outage is a watcher that goes on after failures itself, until its registry is
// up and reports no server.
type outage struct{ up chan struct{} }

func (o outage) Watch(ctx context.Context, report func([]core.Endpoint)) error {
	return discovery.Retry(ctx, func(ctx context.Context, healthy func()) error {
		select {
		case <-o.up:
			healthy()
			report(nil)
			<-ctx.Done()
			return ctx.Err()
		default:
			return errRefused
		}
	})
}

func (outage) String() string { return "zk /services/echo at h1:2181" }

func TestCauseIsKnownBeforeTheWatcherGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := outage{make(chan struct{})}
		p := open(t, r, newFleet(t))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, get := p.Get(ctx)
		for name, err := range map[string]error{"Get": get, "WaitReady": p.WaitReady(ctx)} {
			if !errors.Is(err, errRefused) || !strings.Contains(err.Error(), "pending for 1s: zk /services/echo at h1:2181,") {
				t.Errorf("%s returned %v", name, err)
			}
		}
		if st := p.Stats(); !errors.Is(st.LastWatch, errRefused) || st.State != core.StatePending {
			t.Errorf("the pool is %v, last watch %v", st.State, st.LastWatch)
		}
		close(r.up)
		time.Sleep(time.Minute)
		_, err := p.Get(t.Context())
		if !errors.Is(err, core.ErrNoEndpoint) || errors.Is(err, errRefused) {
			t.Errorf("Get returned %v after the return of the registry", err)
		}
		if text := err.Error(); !strings.Contains(text, "empty for 59.") && !strings.Contains(text, "empty for 1m0") || !strings.Contains(text, ": zk /services/echo at h1:2181,") {
			t.Errorf("Get returned %v, want the place and how long it has been empty", err)
		}
	})
}
