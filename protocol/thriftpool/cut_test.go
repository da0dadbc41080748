package thriftpool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
)

// cutter is a proxy that ends its first connection after a number of bytes of
// the requests or of the replies, and leaves the others alone.
type cutter struct {
	to      string
	request bool // count the bytes of requests, else of replies
	at      int
	reset   bool // end with RST, else with FIN
	conns   atomic.Int32
}

func (p *cutter) listen(t *testing.T) string {
	t.Helper()
	return prototest.Listen(t, func(nc net.Conn) {
		first := p.conns.Add(1) == 1
		var d net.Dialer
		up, err := d.DialContext(context.Background(), "tcp", p.to)
		if err != nil {
			return
		}
		var both sync.WaitGroup
		var once sync.Once
		end := func() {
			once.Do(func() {
				if p.reset && first {
					prototest.Reset(nc)
				}
				_ = nc.Close()
				_ = up.Close()
			})
		}
		defer end()
		pass := func(to, from net.Conn, counted bool) {
			defer end()
			if !counted || !first {
				_, _ = io.Copy(to, from)
				return
			}
			if p.at == 0 { // not before something comes
				_, _ = from.Read(make([]byte, 1))
			}
			_, _ = io.CopyN(to, from, int64(p.at))
		}
		both.Go(func() { pass(up, nc, p.request) })
		both.Go(func() { pass(nc, up, !p.request) })
		both.Wait()
	})
}

// Wherever a connection ends, a call is executed at most once unless it may be
// repeated, it never gets a wrong answer, and the next call is well.
func TestAConnectionMayEndAtAnyByte(t *testing.T) {
	for _, reset := range []bool{false, true} {
		for _, request := range []bool{true, false} {
			for _, idempotent := range []bool{false, true} {
				t.Run(fmt.Sprintf("reset %v, of the request %v, idempotent %v", reset, request, idempotent), func(t *testing.T) {
					cutAtEachByte(t, reset, request, idempotent)
				})
			}
		}
	}
}

func cutAtEachByte(t *testing.T, reset, request, idempotent bool) {
	t.Helper()
	// The request is as long as the reply: the result differs from the
	// arguments in its field's number only.
	size := len(frame(reply(t, "echo", thrift.REPLY, 1, said("first"))))
	for at := range size {
		var executed atomic.Int32
		h := &handler{}
		h.onEcho = func(_ context.Context, s string) (string, error) {
			if s == "first" {
				executed.Add(1)
			}
			return s, nil
		}
		s := serve(t, framedBinary(), h)
		p := &cutter{to: s.addr(), request: request, at: at, reset: reset}
		addr := p.listen(t)
		var opts []Option
		if idempotent {
			opts = append(opts, Idempotent("*"))
		}
		c := newClient(t, Config{}, []string{addr}, opts...)

		got, err := c.Echo(t.Context(), "first")
		if err == nil && got != "first" {
			t.Errorf("cut at %d: %q", at, got)
		}
		if _, ok := errors.AsType[thrift.TTransportException](err); err != nil && !ok {
			t.Errorf("cut at %d: %v", at, err)
		}
		switch n := executed.Load(); {
		case !idempotent && n > 1, n > 2, request && n > 1:
			t.Errorf("cut at %d: executed %d times", at, n)
		case idempotent && err != nil:
			t.Errorf("cut at %d: %v", at, err)
		case !idempotent && err == nil:
			t.Errorf("cut at %d: it was sent again", at)
		}
		if got, err := c.Echo(t.Context(), "second"); err != nil || got != "second" {
			t.Errorf("cut at %d: the next call got %q, %v", at, got, err)
		}
	}
}
