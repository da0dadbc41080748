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
// connections that were closed before anything was sent: the first costs no attempt, also if an attempt was
// made before the second.
func TestAServerThatAcceptsAndHangsUpGetsOneConnectionMoreThanTheCallHasAttempts(t *testing.T) {
	for what, speak := range prototest.HangUps() {
		for name, opts := range map[string][]Option{"once": {Attempts(3)}, "repeatable": {Attempts(3), Idempotent("echo")}} {
			var conns atomic.Int32
			addr := prototest.Listen(t, func(nc net.Conn) { conns.Add(1); speak(nc) })
			pool := newPool(t, Config{}, []string{addr})
			_, err := echo.NewEchoClient(Client(pool, opts...)).Echo(t.Context(), "hello")
			var e *Error
			// The server counts more than were leased: a reset may meet the dial, and the
			// pool drops a connection that has ended before a call gets it.
			undialed, st := errors.Is(err, core.ErrUnavailable), pool.Stats().Endpoints[0]
			unleased := int(st.DialFailures) + 2 // then the pool backs off
			if !errors.As(err, &e) || e.Attempts > 3 || e.Outcome != balance.OutcomeFailure && !undialed ||
				st.Calls > 4 || int(conns.Load()) > int(st.Calls)+unleased {
				t.Errorf("%s, %s: %v, on %d connections, %d leased", what, name, err, conns.Load(), st.Calls)
			}
			t.Logf("%s, %s: %d connections, %v", what, name, conns.Load(), err)
		}
	}
}
