package integration

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

// load is calls through a pool without end.
type load struct {
	cancel  context.CancelFunc
	callers sync.WaitGroup

	mu       sync.Mutex
	calls    int
	byServer map[string]int
	failed   int
	first    error // of those that failed
	longest  time.Duration
}

// call begins to call from a few goroutines, some hundred times a second.
func call(pool *core.Pool[*thriftpool.Conn]) *load {
	const (
		callers = 4
		gap     = 5 * time.Millisecond
		patient = 2 * time.Second // a healthy server answers in a fraction of that
	)
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel, byServer: make(map[string]int)}
	client := thriftpool.Client(pool, thriftpool.Idempotent("echo"))
	for range callers {
		l.callers.Go(func() {
			tick := time.NewTicker(gap)
			defer tick.Stop()
			service := echo.NewEchoClient(client)
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				ctx, cancel := context.WithTimeout(context.Background(), patient)
				begin := time.Now()
				server, err := service.Echo(ctx, "hello")
				cancel()
				l.note(server, err, time.Since(begin))
			}
		})
	}
	return l
}

func (l *load) note(server string, err error, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	l.longest = max(l.longest, took)
	if err == nil {
		l.byServer[server]++
		return
	}
	l.failed++
	if l.first == nil {
		l.first = err
	}
}

func (l *load) stop() {
	l.cancel()
	l.callers.Wait()
}

// served returns how many calls a server has answered.
func (l *load) served(addr string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byServer[addr]
}

// check stops the load and fails the test if a call has failed, or if a server
// has had none.
func (l *load) check(t *testing.T, servers ...string) {
	t.Helper()
	l.stop()
	if l.failed > 0 {
		t.Errorf("%d of %d calls failed, the first with: %v", l.failed, l.calls, l.first)
	}
	for _, s := range servers {
		if l.byServer[s] == 0 {
			t.Errorf("server %s has had none of %d calls", s, l.calls)
		}
	}
	t.Logf("%d calls, the longest took %v", l.calls, l.longest.Round(time.Microsecond))
}
