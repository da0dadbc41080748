package thriftpool

import (
	"errors"
	"net"
	"sync/atomic"
	"testing"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

// TestAServerThatAcceptsAndHangsUpGetsOneConnectionMoreThanTheCallHasAttempts is about
// connections that were closed before anything was sent: the first costs no attempt.
func TestAServerThatAcceptsAndHangsUpGetsOneConnectionMoreThanTheCallHasAttempts(t *testing.T) {
	for what, speak := range prototest.HangUps() {
		var conns atomic.Int32
		addr := prototest.Listen(t, func(nc net.Conn) { conns.Add(1); speak(nc) })
		for name, opts := range map[string][]Option{"once": {Attempts(3)}, "repeatable": {Attempts(3), Idempotent("echo")}} {
			conns.Store(0)
			pool := newPool(t, Config{}, []string{addr})
			_, err := echo.NewEchoClient(Client(pool, opts...)).Echo(t.Context(), "hello")
			var e *Error
			// A reset may meet the dial, which the server counts as a connection.
			undialed, atMost := errors.Is(err, core.ErrUnavailable), 4+int(pool.Stats().Endpoints[0].DialFailures)
			if !errors.As(err, &e) || e.Attempts > 3 || e.Outcome != balance.OutcomeFailure && !undialed || int(conns.Load()) > atMost {
				t.Errorf("%s, %s: %v, on %d connections", what, name, err, conns.Load())
			}
			t.Logf("%s, %s: %d connections, %v", what, name, conns.Load(), err)
		}
	}
}
