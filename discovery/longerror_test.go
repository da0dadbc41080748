package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// errLong has a text of 16 MiB.
var errLong = fmt.Errorf("%s: %w", strings.Repeat("long ", 16<<20/5), io.ErrNoProgress)

// wantCut fails the test unless err matches errLong and has a short text.
func wantCut(t *testing.T, where string, err error) {
	t.Helper()
	if n := len(fmt.Sprint(err)); n < 4000 || n > 5000 || !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("%s: an error of %d bytes, matches: %v", where, n, errors.Is(err, io.ErrNoProgress))
	}
}

func TestErrorsOfAWatcherOfAnyLengthAreCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var retrying, lost error
		w := watchFunc(func(ctx context.Context, _ func([]discovery.Endpoint)) error {
			discovery.ReportFailure(ctx, errLong)
			return fmt.Errorf("watching: %w", errLong)
		})
		discovery.Follow(ctx, w, discovery.Follower{
			Retrying: func(err error) { retrying = err },
			Lost:     func(err error, _ time.Duration) { lost = err; cancel() },
		})
		wantCut(t, "Retrying", retrying)
		wantCut(t, "Lost", lost)
	})
}

// failing is a registrar that reports a failure, and then returns it.
type failing struct{ err error }

func (f failing) Register(ctx context.Context, _ discovery.Endpoint, _ func()) error {
	discovery.ReportFailure(ctx, f.err)
	_ = sleep(ctx, time.Second)
	return f.err
}

func TestErrorsOfARegistrarOfAnyLengthAreCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, err := discovery.Register(failing{errLong}, discovery.Endpoint{Addr: "10.0.0.1:80"})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		_, err = g.State()
		wantCut(t, "State while registering", err)
		time.Sleep(time.Second)
		synctest.Wait()
		_, err = g.State()
		wantCut(t, "State while lost", err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		wantCut(t, "Wait", g.Wait(ctx))
		_ = g.Close(t.Context())
	})
}
