//go:build go1.26

package httppool

import (
	"context"
	"errors"
	"net"
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
)

func TestAServerThatAcceptsAndHangsUpGetsTwoConnectionsOfARequestAndThenNoneForAMoment(t *testing.T) {
	for what, speak := range prototest.HangUps() {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			var conns atomic.Int32
			addr := prototest.Listen(t, func(nc net.Conn) { conns.Add(1); speak(nc) })
			pool := newPool(t, Config{}, []string{addr})
			c := clientOf(t, pool, Attempts(10))
			_, _, err := call(t.Context(), c, method, "http://echo/", "")
			var e *Error
			// The server counts more than were leased: a reset may meet the dial, and the
			// pool drops a connection that has ended before a call gets it.
			undialed, st := errors.Is(err, core.ErrUnavailable), pool.Stats().Endpoints[0]
			unleased := int(st.DialFailures) + 2 // then the pool backs off
			if !errors.As(err, &e) || e.Attempts > 2 || e.Outcome != balance.OutcomeFailure && !undialed ||
				st.Calls > 2 || int(conns.Load()) > int(st.Calls)+unleased {
				t.Errorf("%s, %s: %v, on %d connections, %d leased", what, method, err, conns.Load(), st.Calls)
			}
			t.Logf("%s, %s: %d connections, %v", what, method, conns.Load(), err)
		}
	}
}

// hangingUp starts a server that closes each connection at once, and returns a
// Config whose dials return when that is known.
func hangingUp(t *testing.T) (addr string, conns *atomic.Int32, conf Config) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere there is no look at the socket")
	}
	conns = new(atomic.Int32)
	addr = prototest.Listen(t, func(net.Conn) { conns.Add(1) })
	return addr, conns, Config{DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
		nc, err := new(net.Dialer).DialContext(ctx, network, to)
		if err == nil && to == addr {
			probe := newProbe(nc)
			until(t, "the server hangs up", func() bool { return probe.look() != nil })
		}
		return nc, err
	}}
}

func TestAServerThatHangsUpPauses(t *testing.T) {
	addr, conns, conf := hangingUp(t)
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	for whose, c := range map[string]*http.Client{
		"net/http's": {Transport: toServer{tr, addr}}, "ours": clientOf(t, newPool(t, conf, []string{addr})),
	} {
		conns.Store(0)
		paused := 0
		for range 20 {
			_, _, err := get(t.Context(), c, "http://echo/")
			if err == nil {
				t.Fatal("it answered")
			}
			if errors.Is(err, core.ErrUnavailable) {
				paused++
			}
		}
		t.Logf("%s: %d connections, %d requests failed without one", whose, conns.Load(), paused)
		if n := int(conns.Load()); n > 2*(20-paused)+1 { // one may be dialed ahead
			t.Errorf("%s: %d connections, %d requests failed without one", whose, n, paused)
		}
		if whose == "ours" {
			until(t, "requests fail without a connection", func() bool {
				_, _, err := get(t.Context(), c, "http://echo/")
				return errors.Is(err, core.ErrUnavailable)
			})
		}
	}
}

func TestAHangUpThatIsKnownSendsEveryRequestElsewhere(t *testing.T) {
	addr, _, conf := hangingUp(t)
	good, _ := answering(t, "good", http.StatusOK)
	c := clientOf(t, newPool(t, conf, []string{addr, good}, first(addr)))
	for range 20 { // nothing is sent to a server that has hung up already
		if _, got, err := call(t.Context(), c, http.MethodPost, "http://echo/", "x"); got != "good x" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
}
