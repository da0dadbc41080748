package netpool_test

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
	"github.com/minicaptain/multi_connection_pool/protocol/netpool"
)

// TestLineWithoutEndIsCut has a server that answers with a line which never ends.
func TestLineWithoutEndIsCut(t *testing.T) {
	addr := prototest.Listen(t, func(nc net.Conn) {
		_, _ = nc.Read(make([]byte, 100))
		for line := []byte(strings.Repeat("x", 4096)); ; {
			if _, err := nc.Write(line); err != nil {
				return
			}
		}
	})
	const most = 100_000
	pool := newPool(t, netpool.Config{MaxRead: most}, []string{addr})
	read := 0
	err := netpool.Do(t.Context(), pool, func(c *netpool.Conn) error {
		_, _ = c.WriteString("?\n")
		line, err := c.ReadString('\n')
		read = len(line)
		return err
	})
	if !errors.Is(err, netpool.ErrMaxRead) || netpool.Classify(err) != balance.OutcomeNeutral {
		t.Errorf("error %v, which is %v", err, netpool.Classify(err))
	}
	if read != most {
		t.Errorf("it read %d bytes, want %d", read, most)
	}
	if n := pool.Stats().Endpoints[0].Open; n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

// TestEachCallHasItsOwnBound makes more calls than one bound is enough for.
func TestEachCallHasItsOwnBound(t *testing.T) {
	pool := newPool(t, netpool.Config{MaxRead: 100}, []string{prototest.Listen(t, echo)}, core.MaxActive(1))
	for range 20 {
		if got, err := ask(t.Context(), pool, strings.Repeat("y", 90)); err != nil || len(got) != 90 {
			t.Fatalf("%q, %v", got, err)
		}
	}
}
