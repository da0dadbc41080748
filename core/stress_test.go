package core_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// TestStressKeepsInvariantsUnderRandomOperations runs random operations and
// faults against a pool for a second, or for as long as the variable STRESS
// says (a duration), and checks at every step that a connection has one user,
// that limits hold, and at the end that all that was opened was closed.
func TestStressKeepsInvariantsUnderRandomOperations(t *testing.T) {
	d := time.Second
	if s := os.Getenv("STRESS"); s != "" {
		var err error
		if d, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name                         string
		servers, maxActive, maxTotal int
		opts                         []core.Option
	}{
		{"one endpoint", 1, 4, 0, nil},
		{"many endpoints", 5, 4, 0, nil},
		{"a bounded total", 4, 4, 6, nil},
		{"idle bounds, short lives and checks", 3, 4, 0, []core.Option{
			core.MinIdle(1), core.MaxIdle(2), core.MaxLifetime(50 * time.Millisecond), core.IdleTimeout(40 * time.Millisecond),
			core.HealthCheckInterval(40 * time.Millisecond), core.ValidateAfterIdle(0),
		}},
		{"more slots than one word has", 1, 130, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			newStress(t, c.servers, c.maxActive, c.maxTotal, c.opts...).run(t, d)
		})
	}
}

// stressConn notes who uses it.
type stressConn struct {
	w      *stress
	addr   string
	users  atomic.Int32
	closed atomic.Bool
	broken atomic.Bool
}

func (c *stressConn) Close() error {
	if c.closed.Swap(true) {
		c.w.errorf("connection to %s closed twice", c.addr)
	}
	c.w.open.Add(-1)
	c.w.perAddr(c.addr).Add(-1)
	return nil
}

func (c *stressConn) Health(context.Context) error {
	if c.closed.Load() {
		c.w.errorf("health check of a closed connection")
	}
	if c.broken.Load() {
		return errors.New("broken")
	}
	return nil
}

type stress struct {
	t         *testing.T
	maxActive int64
	maxTotal  int64
	steady    bool // the set does not change: no old sub-pool of an address drains beside its new one
	open      atomic.Int64
	addrs     sync.Map // address -> *atomic.Int64, open connections
	failing   sync.Map // address -> bool
	reports   chan []core.Endpoint
	all       []core.Endpoint
	pool      *core.Pool[*stressConn]
	calls     atomic.Int64
	errs      atomic.Int64
}

func (w *stress) errorf(format string, args ...any) {
	if w.errs.Add(1) < 10 {
		w.t.Errorf(format, args...)
	}
}

func (w *stress) perAddr(a string) *atomic.Int64 {
	v, _ := w.addrs.LoadOrStore(a, new(atomic.Int64))
	n, _ := v.(*atomic.Int64)
	return n
}

func (w *stress) Watch(ctx context.Context, report func([]core.Endpoint)) error {
	report(w.all)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case set := <-w.reports:
			if set == nil {
				return errors.New("lost")
			}
			report(set)
		}
	}
}

func (w *stress) Dial(ctx context.Context, e core.Endpoint) (*stressConn, error) {
	switch rand.IntN(20) {
	case 0:
		return nil, errors.New("refused by chance")
	case 1:
		panic("a dialer that panics")
	case 2:
		select { // slow
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Duration(rand.IntN(3)) * time.Millisecond):
		}
	}
	if _, bad := w.failing.Load(e.Addr); bad {
		return nil, errors.New("refused")
	}
	if n := w.perAddr(e.Addr).Add(1); n > w.maxActive && w.steady {
		w.errorf("%d connections open to %s, maximum %d", n, e.Addr, w.maxActive)
	}
	if n := w.open.Add(1); w.maxTotal > 0 && n > w.maxTotal {
		w.errorf("%d connections open, maximum %d", n, w.maxTotal)
	}
	return &stressConn{w: w, addr: e.Addr}, nil
}

func newStress(t *testing.T, servers, maxActive, maxTotal int, opts ...core.Option) *stress {
	w := &stress{t: t, maxActive: int64(maxActive), maxTotal: int64(maxTotal), steady: maxTotal == 0 && servers != 5, reports: make(chan []core.Endpoint)}
	for i := range servers {
		w.all = append(w.all, core.Endpoint{Addr: fmt.Sprintf("10.0.0.%d:1", i+1)})
	}
	opts = append(opts, core.MaxActive(maxActive), core.MaxTotal(maxTotal), core.RemovalGrace(0),
		core.DrainTimeout(20*time.Millisecond), core.DialTimeout(2*time.Second))
	p, err := core.New(w, w, opts...)
	if err != nil {
		t.Fatal(err)
	}
	w.pool = p
	return w
}

func (w *stress) run(t *testing.T, d time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for ctx.Err() == nil {
				w.call(ctx)
			}
		})
	}
	wg.Go(func() { w.disturb(ctx) })
	wg.Wait()
	closing, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	if err := w.pool.Close(closing); err != nil {
		t.Errorf("close: %v", err)
	}
	if n := w.open.Load(); n != 0 {
		t.Errorf("%d connections open after close", n)
	}
	if w.calls.Load() == 0 {
		t.Error("no call went through")
	}
	t.Logf("%d calls", w.calls.Load())
}

// call is one random use of the pool.
func (w *stress) call(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(20_000))*time.Microsecond)
	defer cancel()
	var opts []core.CallOption
	switch rand.IntN(10) {
	case 0:
		opts = append(opts, core.WithEndpoint(w.all[rand.IntN(len(w.all))].Addr))
	case 1:
		opts = append(opts, core.WithoutEndpoint(w.all[rand.IntN(len(w.all))].Addr))
	case 2:
		opts = append(opts, core.WithKey(fmt.Sprint(rand.IntN(100))))
	}
	l, err := w.pool.Get(ctx, opts...)
	if err != nil {
		if !errors.As(err, new(*core.Error)) {
			w.errorf("not a core.Error: %v", err)
		}
		return
	}
	w.calls.Add(1)
	c := l.Conn()
	if n := c.users.Add(1); n != 1 {
		w.errorf("connection to %s has %d users", c.addr, n)
	}
	if l.Endpoint().Addr != c.addr {
		w.errorf("lease of %s has a connection to %s", l.Endpoint().Addr, c.addr)
	}
	if rand.IntN(4) == 0 {
		time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
	}
	if rand.IntN(50) == 0 {
		c.broken.Store(true)
	}
	c.users.Add(-1)
	switch rand.IntN(20) {
	case 0:
		err = l.Discard(errors.New("by chance"))
	case 1, 2:
		err = l.End(nil)
	case 3:
		err = l.End(errors.New("by chance"))
	default:
		err = l.Release()
	}
	if err != nil {
		w.errorf("first end of a lease: %v", err)
	}
	if rand.IntN(10) == 0 {
		if err := l.Release(); !errors.Is(err, core.ErrStaleLease) {
			w.errorf("second end of a lease: %v", err)
		}
	}
}

// disturb changes the set, breaks servers and resets the pool.
func (w *stress) disturb(ctx context.Context) {
	for ctx.Err() == nil {
		n := 6
		if w.steady {
			n = 4
		}
		switch rand.IntN(n) {
		case 0:
			w.pool.Reset()
			w.set()
		case 1:
			a := w.all[rand.IntN(len(w.all))].Addr
			w.failing.Store(a, true)
			time.Sleep(time.Millisecond)
			w.failing.Delete(a)
		case 4:
			w.report(ctx, nil)
		case 5:
			set := make([]core.Endpoint, 0, len(w.all))
			for _, e := range w.all {
				if rand.IntN(3) > 0 {
					set = append(set, e)
				}
			}
			w.report(ctx, set)
		case 2, 3:
			st := w.pool.Stats()
			for _, e := range st.Endpoints {
				if n := e.Open + e.Dialing + e.Closing; int64(n) > w.maxActive {
					w.errorf("stats: %d positions taken, maximum %d: %+v", n, w.maxActive, e)
				}
			}
		}
		time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond)
	}
}

// set lowers limits, or raises them up to those of the beginning.
func (w *stress) set() {
	opts := []core.Option{core.MaxActive(1 + rand.IntN(int(w.maxActive)))}
	if w.maxTotal > 0 {
		opts = append(opts, core.MaxTotal(1+rand.IntN(int(w.maxTotal))))
	}
	if err := w.pool.Set(opts...); err != nil {
		w.errorf("Set: %v", err)
	}
}

func (w *stress) report(ctx context.Context, set []core.Endpoint) {
	select {
	case w.reports <- set:
	case <-ctx.Done():
	}
}
