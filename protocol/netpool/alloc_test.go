//go:build !race

package netpool_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/sock"
	"github.com/minicaptain/multi_connection_pool/protocol/netpool"
)

// parrot sends back what it gets. It is in this process, and allocates nothing.
func parrot(nc net.Conn) {
	for buf := make([]byte, 4096); ; {
		n, err := nc.Read(buf)
		if err != nil {
			return
		}
		if _, err := nc.Write(buf[:n]); err != nil {
			return
		}
	}
}

func TestACallAllocatesNothing(t *testing.T) {
	pool := newPool(t, netpool.Config{}, []string{prototest.Listen(t, parrot), prototest.Listen(t, parrot), prototest.Listen(t, parrot)})
	request := []byte("hello\n")
	var answer []byte
	fn := func(c *netpool.Conn) error {
		_, _ = c.Write(request)
		line, err := c.ReadSlice('\n')
		answer = append(answer[:0], line...)
		return err
	}
	for name, newCtx := range map[string]func() (context.Context, context.CancelFunc){
		"no context": func() (context.Context, context.CancelFunc) { return context.Background(), func() {} },
		"a deadline": func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), time.Minute)
		},
		"a cancellable context": func() (context.Context, context.CancelFunc) { return context.WithCancel(context.Background()) },
	} {
		bare := testing.AllocsPerRun(500, func() { // what the context costs
			ctx, cancel := newCtx()
			defer cancel()
			_ = ctx
		})
		call := func() {
			ctx, cancel := newCtx()
			defer cancel()
			if err := netpool.Do(ctx, pool, fn); err != nil || string(answer) != string(request) {
				t.Fatalf("got %q, %v", answer, err)
			}
		}
		for range 100 { // open the connections
			call()
		}
		if n := testing.AllocsPerRun(500, call); n > bare {
			t.Errorf("%s: %v allocations per call, %v of them the caller's", name, n, bare)
		}
	}
}

func TestPeekAllocatesNothing(t *testing.T) {
	if !sock.Cheap {
		t.Skip("this system has no cheap way to look at a socket")
	}
	conn := dialed(t, netpool.Config{}, prototest.Listen(t, prototest.Silent))
	if n := testing.AllocsPerRun(100, func() {
		if err := conn.Peek(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
