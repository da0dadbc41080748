package discovery_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// watched is a backend of one watcher.
type watched struct{ w discovery.Watcher }

func (b watched) Watcher(*discovery.URL) (discovery.Watcher, error) { return b.w, nil }

func TestWarningOfWhereInALostWatchIsTakenBackByTheNext(t *testing.T) {
	watches := 0
	inner := watchFunc(func(_ context.Context, report func([]discovery.Endpoint)) error {
		watches++
		e := discovery.Endpoint{Addr: "a:1"}
		if watches == 2 {
			e.Zone = "eu"
		}
		report([]discovery.Endpoint{e})
		report([]discovery.Endpoint{e})
		return errors.New("away")
	})
	var mux discovery.Mux
	mux.Handle("x", func(*discovery.Params) discovery.Backend { return watched{inner} })
	w, err := mux.Open("x://h/?where=zone:eu")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	calls := 0
	discovery.Follow(ctx, w, discovery.Follower{
		Warned: func(err error) { calls, last = calls+1, err },
		Lost: func(error, time.Duration) {
			if watches == 2 {
				cancel()
			}
		},
	})
	// The first Watch warns with each report; the second says once that all is well.
	if calls != 3 || last != nil {
		t.Errorf("%d calls, the last warning is %v", calls, last)
	}
}
