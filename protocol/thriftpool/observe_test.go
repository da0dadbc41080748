package thriftpool

import (
	"context"
	"net"
	"testing"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
	"github.com/minicaptain/multi_connection_pool/retry"
)

func TestObserverSeesTheAttemptsOfACall(t *testing.T) {
	good := serve(t, framedBinary(), &handler{onEcho: func(_ context.Context, s string) (string, error) { return s, nil }}).addr()
	bad := prototest.Listen(t, func(nc net.Conn) { next(nc) }) // it closes the connection
	pool := newPool(t, Config{}, []string{bad, good})
	var log retry.Log
	pool.Retrier().Observe(&log)
	c := echo.NewEchoClient(Client(pool, Idempotent("echo")))
	var failed, answered int
	for range 50 {
		if _, err := c.Echo(t.Context(), "s"); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range log.Attempts() {
		switch {
		case a.Name != "echo" || a.Endpoint == "":
			t.Errorf("%+v", a)
		case a.Endpoint == bad:
			failed++
			if a.Err == nil || a.Outcome == balance.OutcomeOK {
				t.Errorf("at the bad server: %+v", a)
			}
		default:
			answered++
			if a.Err != nil || a.Outcome != balance.OutcomeOK {
				t.Errorf("at the good server: %+v", a)
			}
		}
	}
	if failed == 0 || answered != 50 {
		t.Errorf("%d attempts failed, %d were answered; of 50 calls", failed, answered)
	}
}
