package thriftpool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

// The server closes connections while they are idle, and restarts. No call
// notices, not even one that must not be repeated.
func TestNoCallFailsOnAConnectionThatEndedWhileIdle(t *testing.T) {
	for _, secured := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS %v", secured), func(t *testing.T) {
			st, conf := framedBinary(), Config{}
			if secured {
				st, conf.TLS = secure(t, 0)
			}
			s := serve(t, st, &handler{})
			pool := newPool(t, conf, []string{s.addr()}, core.MaxActive(8))
			shared := Client(pool, Attempts(1))
			all := func() {
				var wg sync.WaitGroup
				for range 8 {
					wg.Go(func() {
						ctx, cancel := context.WithTimeout(t.Context(), prototest.Patience)
						defer cancel()
						if got, err := echo.NewEchoClient(shared).Echo(ctx, "s"); err != nil || got != "s" {
							t.Errorf("got %q, %v", got, err)
						}
					})
				}
				wg.Wait()
			}
			for range 20 {
				if all(); t.Failed() {
					return
				}
				prototest.Until(t, "all connections are idle", func() bool {
					e := pool.Stats().Endpoints[0]
					return e.Dialing == 0 && e.InUse == 0 && e.Closing == 0
				})
				s.drop()
				prototest.Pause(5 * time.Millisecond) // until the client's side has the news
			}
		})
	}
}

// restart ends the server and returns another on its address.
func restart(t *testing.T, s *server, h *handler) *server {
	t.Helper()
	addr := s.addr()
	s.kill()
	s.done.Wait()
	var ln net.Listener
	prototest.Until(t, "the address is free", func() (ok bool) {
		var err error
		ln, err = new(net.ListenConfig).Listen(t.Context(), "tcp", addr)
		return err == nil
	})
	return serveOn(t, ln, s.stack, echo.NewEchoProcessor(h))
}

// load calls from many goroutines until it is stopped, and counts.
type load struct {
	calls, failed atomic.Int64
	stop          chan struct{}
	once          sync.Once
	wg            sync.WaitGroup

	mu   sync.Mutex
	last error
}

func generate(t *testing.T, callers int, client thrift.TClient) *load {
	t.Helper()
	l := &load{stop: make(chan struct{})}
	t.Cleanup(l.end)
	for range callers {
		l.wg.Go(func() {
			c := echo.NewEchoClient(client)
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(t.Context(), prototest.Patience)
				got, err := c.Echo(ctx, "s")
				cancel()
				l.calls.Add(1)
				if err != nil || got != "s" {
					l.failed.Add(1)
					l.mu.Lock()
					l.last = err
					l.mu.Unlock()
				}
			}
		})
	}
	return l
}

// more waits until n more calls were made.
func (l *load) more(t *testing.T, n int64) {
	t.Helper()
	n += l.calls.Load()
	prototest.Until(t, "calls go on", func() bool { return l.calls.Load() >= n })
}

// end stops the load; it may be called again.
func (l *load) end() {
	l.once.Do(func() { close(l.stop) })
	l.wg.Wait()
}

func TestKillingServersLosesNoIdempotentCall(t *testing.T) {
	for name, opt := range map[string]Option{"idempotent": Idempotent("*"), "hedged": Hedged("*")} {
		t.Run(name, func(t *testing.T) {
			h := &handler{}
			servers := []*server{serve(t, framedBinary(), h), serve(t, framedBinary(), h), serve(t, framedBinary(), h)}
			var addrs []string
			for _, s := range servers {
				addrs = append(addrs, s.addr())
			}
			pool := newPool(t, Config{}, addrs)
			l := generate(t, 16, Client(pool, opt))
			for i := range servers {
				l.more(t, 1000)
				servers[i].kill()
				l.more(t, 1000)
				servers[i] = restart(t, servers[i], h)
				// The next may die when this one is back.
				prototest.Until(t, "the pool calls the restarted server", func() bool { return servers[i].accepted() > 0 })
			}
			l.more(t, 1000)
			l.end()
			if n := l.failed.Load(); n != 0 {
				t.Errorf("%d of %d calls failed, one with %v", n, l.calls.Load(), l.last)
			}
			t.Logf("%d calls", l.calls.Load())
		})
	}
}

func TestKillingAServerLosesAtMostTheOtherCallsInFlight(t *testing.T) {
	h := &handler{}
	doomed := serve(t, framedBinary(), h)
	good := serve(t, framedBinary(), h)
	const callers = 16
	l := generate(t, callers, Client(newPool(t, Config{}, []string{doomed.addr(), good.addr()})))
	l.more(t, 1000)
	doomed.kill()
	l.more(t, 1000)
	l.end()
	if n := l.failed.Load(); n > callers {
		t.Errorf("%d of %d calls failed, one with %v", n, l.calls.Load(), l.last)
	}
}

func TestClosingThePoolDuringCallsRacesWithNothing(t *testing.T) {
	silent, requests := mute(t)
	pool, err := core.New(endpoints(silent), Dial(Config{}))
	if err != nil {
		t.Fatal(err)
	}
	c := Client(pool, Idempotent("*"))
	errs := make(chan error)
	const callers = 8
	for range callers {
		go func() { // each sends to errs, which is received from below
			_, err := echo.NewEchoClient(c).Echo(t.Context(), "s")
			errs <- err
		}()
	}
	prototest.Until(t, "all calls wait for their replies", func() bool { return requests.Load() == callers })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := pool.Close(ctx); err == nil {
		t.Error("the pool closed in peace")
	}
	for range callers {
		err := <-errs
		if _, ok := errors.AsType[thrift.TTransportException](err); !ok && !errors.Is(err, core.ErrClosed) {
			t.Errorf("got %v", err)
		}
	}
	if err := pool.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
