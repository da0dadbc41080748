package thriftpool

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

// stalling returns a handler that answers at once, until stalled is set: then never.
func stalling(stalled *atomic.Bool, released <-chan struct{}) *handler {
	return &handler{onEcho: func(_ context.Context, s string) (string, error) {
		if stalled.Load() {
			<-released
		}
		return s, nil
	}}
}

func TestAServerThatStopsAnsweringCostsNoCallThatMayBeRepeated(t *testing.T) {
	for name, opt := range map[string]Option{"idempotent": Idempotent("*"), "hedged": Hedged("*")} {
		t.Run(name, func(t *testing.T) {
			var stalled atomic.Bool
			released := make(chan struct{})
			addrs := []string{serve(t, framedBinary(), stalling(&stalled, released)).addr()}
			for range 2 {
				addrs = append(addrs, serve(t, framedBinary(), &handler{}).addr())
			}
			t.Cleanup(func() { close(released) }) // before the server's end waits for its calls
			l := generate(t, 8, Client(newPool(t, Config{}, addrs), opt))
			l.more(t, 2000)
			prototest.Pause(300 * time.Millisecond) // for the pool to take in how long answers take
			l.more(t, 500)
			stalled.Store(true)
			l.more(t, 2000)
			stalled.Store(false)
			l.more(t, 1000)
			l.end()
			if n := l.failed.Load(); n != 0 {
				t.Errorf("%d of %d calls failed, one with %v", n, l.calls.Load(), l.last)
			}
		})
	}
}

func TestASlowMethodHasItsTimeBesideAFastOne(t *testing.T) {
	const slow = 400 * time.Millisecond
	var made atomic.Int64
	h := &handler{onEcho: func(_ context.Context, s string) (string, error) {
		if s == "slow" {
			made.Add(1)
			prototest.Pause(slow)
		}
		return s, nil
	}}
	addrs := []string{serve(t, framedBinary(), h).addr(), serve(t, framedBinary(), h).addr()}
	client := echo.NewEchoClient(Client(newPool(t, Config{}, addrs), Idempotent("*")))
	for range 500 {
		if _, err := client.EchoBinary(t.Context(), []byte("fast")); err != nil {
			t.Fatal(err)
		}
	}
	prototest.Pause(300 * time.Millisecond) // for the pool to take it in
	for n := range int64(3) {
		if _, err := client.Echo(t.Context(), "slow"); err != nil || made.Load() != n+1 {
			t.Errorf("after %d calls of %v servers got %d, error %v", n+1, slow, made.Load(), err)
		}
	}
}
