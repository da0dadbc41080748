package core_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

// TestStressNobodyWaitsBesideWhatItCouldHave does random things to a random
// pool on bad servers, lets the servers become good, and waits a minute. Then
// no call may wait beside a connection that is idle or could be opened, no
// server may be down, and once all leases are released all calls are served.
//
// Each seed has its own history, in a bubble where time costs nothing. The
// variable CHAOS_SEED runs that one alone, STRESS (a duration) as many as fit.
func TestStressNobodyWaitsBesideWhatItCouldHave(t *testing.T) {
	seed, more := rand.Uint64N(1<<32), func(n int) bool { return n < 500 }
	if s := os.Getenv("STRESS"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		end := time.Now().Add(d)
		more = func(int) bool { return time.Now().Before(end) }
	}
	if s := os.Getenv("CHAOS_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
		more = func(n int) bool { return n < 1 }
	}
	n := 0
	for ; more(n) && !t.Failed(); n++ {
		synctest.Test(t, func(t *testing.T) { newChaos(t, seed+uint64(n)).run() })
	}
	t.Logf("%d seeds", n)
}

// chaos is one history.
type chaos struct {
	t    *testing.T
	seed uint64
	r    *rand.Rand // of the history
	pool *core.Pool[*chaosConn]

	reports chan []core.Endpoint
	all     []core.Endpoint
	// flaps: endpoints leave and return. deaf: dials ignore their context.
	flaps, deaf bool
	// sets: the limits change while the pool runs.
	sets                                  bool
	maxActive, maxTotal, minIdle, sharing int
	settings                              string

	mu      sync.Mutex
	dice    *rand.Rand // of the servers
	good    bool       // the servers are
	open    int
	often   int // calls by Call under way
	held    []core.Lease[*chaosConn]
	waiting map[*wish]bool
}

// wish is what a call that waits would take. One with a key knows which.
type wish struct {
	on, avoid string
	keyed     bool
}

// chaosConn takes some time to close.
type chaosConn struct {
	c      *chaos
	ends   time.Duration
	closed bool
}

func newChaos(t *testing.T, seed uint64) *chaos {
	c := &chaos{
		t: t, seed: seed, r: rand.New(rand.NewPCG(seed, 1)), dice: rand.New(rand.NewPCG(seed, 2)),
		reports: make(chan []core.Endpoint), waiting: map[*wish]bool{}, sharing: 1,
	}
	for i := range 1 + c.r.IntN(3) {
		c.all = append(c.all, core.Endpoint{Addr: fmt.Sprintf("10.0.0.%d:1", i+1)})
	}
	c.maxActive = 1 + c.r.IntN(3)
	c.flaps, c.deaf, c.sets = c.r.IntN(3) == 0, c.r.IntN(3) == 0, c.r.IntN(2) == 0
	if c.r.IntN(4) == 0 {
		c.sharing = 2
	}
	if c.r.IntN(2) == 0 {
		c.maxTotal = 1 + c.r.IntN(len(c.all)*c.maxActive)
	}
	if c.r.IntN(3) == 0 {
		c.minIdle = 1
	}
	maxIdle := max(0, c.r.IntN(4)-2)
	checkAfter := oneOf(c.r, -1, 0, time.Second)
	health := oneOf(c.r, 0, 3*time.Second)
	lifetime := oneOf(c.r, 0, 0, 2*time.Second)
	dialing := 1 + c.r.IntN(3)
	c.settings = fmt.Sprintf("active %d, total %d, share %d, idle %d..%d, check after %v, health every %v, lifetime %v, dialing %d, flaps %v, deaf %v, sets %v",
		c.maxActive, c.maxTotal, c.sharing, c.minIdle, maxIdle, checkAfter, health, lifetime, dialing, c.flaps, c.deaf, c.sets)
	p, err := core.New(c, c, core.MaxActive(c.maxActive), core.MaxTotal(c.maxTotal), core.MaxConcurrentCalls(c.sharing), core.MinIdle(c.minIdle),
		core.MaxIdle(maxIdle), core.ValidateAfterIdle(checkAfter), core.HealthCheckInterval(health), core.MaxLifetime(lifetime), core.MaxConcurrentDials(dialing),
		core.DialTimeout(time.Second), core.RemovalGrace(0), core.DrainTimeout(2*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	c.pool = p
	return c
}

func oneOf[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

func (c *chaos) errorf(format string, args ...any) {
	c.t.Helper()
	c.t.Errorf("seed %d (%s): %s", c.seed, c.settings, fmt.Sprintf(format, args...))
}

func (c *chaos) Watch(ctx context.Context, report func([]core.Endpoint)) error {
	report(c.all)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case set := <-c.reports:
			report(set)
		}
	}
}

func (c *chaos) Dial(ctx context.Context, _ core.Endpoint) (*chaosConn, error) {
	const ms = time.Millisecond
	c.mu.Lock()
	takes := oneOf(c.dice, 0, 0, 0, ms, 10*ms, 20*ms, 100*ms, 300*ms, 700*ms, 3*time.Second)
	fails, ends := c.dice.IntN(3) == 0, oneOf(c.dice, 0, 0, ms, 50*ms)
	if c.good {
		takes, fails = min(takes, 500*ms), false
	}
	c.mu.Unlock()
	if c.deaf {
		time.Sleep(takes)
	} else if err := sleep(ctx, takes); err != nil {
		return nil, err
	}
	if fails {
		return nil, errRefused
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open++
	return &chaosConn{c: c, ends: ends}, nil
}

func (conn *chaosConn) Health(ctx context.Context) error {
	c := conn.c
	c.mu.Lock()
	takes, ill := time.Duration(max(0, c.dice.IntN(2000)-1500))*time.Millisecond, !c.good && c.dice.IntN(5) == 0
	c.mu.Unlock()
	if err := sleep(ctx, takes); err != nil {
		return err
	}
	if ill {
		return errors.New("ill")
	}
	return nil
}

func (conn *chaosConn) Close() error {
	time.Sleep(conn.ends)
	conn.c.mu.Lock()
	defer conn.c.mu.Unlock()
	if conn.closed {
		conn.c.errorf("a connection was closed twice")
	}
	conn.closed = true
	conn.c.open--
	return nil
}

func (c *chaos) run() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	for range 20 + c.r.IntN(60) {
		c.step(ctx)
	}
	if c.flaps {
		c.reports <- c.all
	}
	c.mu.Lock()
	c.good = true
	c.mu.Unlock()
	time.Sleep(time.Minute)
	c.wantNobodyWaitsInVain()
	c.wantAllServed()
	stop()
	begun := time.Now()
	if err := c.pool.Close(within(c.t, time.Minute)); err != nil || time.Since(begun) > 10*time.Second {
		c.errorf("closed after %v with %v", time.Since(begun), err)
	}
	if c.open != 0 {
		c.errorf("%d connections are open after close", c.open)
	}
}

// step calls, ends a lease, disturbs the pool, or lets time pass.
func (c *chaos) step(ctx context.Context) {
	switch k := c.r.IntN(20); {
	case k < 9:
		c.call(ctx)
	case k < 12:
		if l, ok := c.take(); ok {
			for range c.r.IntN(4) { // three failures eject its server
				l.Report(balance.Report{Outcome: oneOf(c.r, balance.OutcomeOK, balance.OutcomeFailure), Latency: time.Millisecond})
			}
			_ = l.Release() // stale if its endpoint left and was cut
		}
	case k < 15:
		if l, ok := c.take(); ok {
			if c.r.IntN(2) == 0 {
				_ = l.End(oneOf[error](c.r, nil, nil, context.Canceled, io.EOF, syscall.ECONNRESET, errors.New("own"), core.Answered(errors.New("no such user"))))
				break
			}
			_ = l.Discard(oneOf(c.r, nil, errors.New("broken"), context.Canceled))
		}
	case k == 15:
		c.pool.Reset()
	case k == 16 && c.flaps:
		var set []core.Endpoint
		for _, e := range c.all {
			if c.r.IntN(3) > 0 {
				set = append(set, e)
			}
		}
		c.reports <- set
	case k == 17 && c.sets:
		c.set()
	case k == 18 && c.sets:
		c.callOften(ctx)
	default:
		time.Sleep(time.Duration(1+c.r.IntN(oneOf(c.r, 1, 30, 300, 1500))) * time.Millisecond)
	}
}

// set changes limits, or tries to.
func (c *chaos) set() {
	active, total, idle := 1+c.r.IntN(4), c.r.IntN(2)*(1+c.r.IntN(len(c.all)*3)), c.r.IntN(2)
	maxIdle, dialing := max(0, c.r.IntN(4)-2), 1+c.r.IntN(3)
	opts := []core.Option{
		core.MaxActive(active), core.MaxTotal(total), core.MinIdle(idle), core.MaxIdle(maxIdle), core.MaxConcurrentDials(dialing),
		core.ValidateAfterIdle(oneOf(c.r, -1, 0, time.Second)), core.MaxLifetime(oneOf(c.r, 0, 0, 2*time.Second)), core.IdleTimeout(oneOf(c.r, 0, time.Second)),
	}
	if c.r.IntN(4) == 0 {
		if err := c.pool.Set(append(opts, core.MaxActive(-1))...); err == nil {
			c.errorf("an illegal Set is no error")
		}
		return
	}
	if err := c.pool.Set(opts...); err != nil {
		c.errorf("Set: %v", err)
	}
	c.maxActive, c.maxTotal, c.minIdle = active, total, idle
}

// callOften makes a call by Do or Call, of several attempts or hedged.
func (c *chaos) callOften(ctx context.Context) {
	takes, fails := time.Duration(c.r.IntN(100))*time.Millisecond, oneOf[error](c.r, nil, nil, io.EOF, errors.New("own"))
	hedged, n := c.r.IntN(2) == 0, 1+c.r.IntN(3)
	cancel := func() {}
	if c.r.IntN(3) == 0 {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(c.r.IntN(500))*time.Millisecond)
	}
	c.mu.Lock()
	c.often++
	c.mu.Unlock()
	go func() { // the bubble waits for it
		defer cancel()
		opts := []core.CallOption{core.Attempts(n)}
		if hedged {
			opts = append(opts, core.Hedged())
		}
		_, _ = core.Call(ctx, c.pool, func(ctx context.Context, conn *chaosConn) (bool, error) {
			c.mu.Lock()
			closed := conn.closed
			c.mu.Unlock()
			if closed && !c.flaps {
				c.errorf("a closed connection was leased")
			}
			if err := sleep(ctx, takes); err != nil {
				return false, err
			}
			return true, fails
		}, opts...)
		c.mu.Lock()
		c.often--
		c.mu.Unlock()
	}()
}

func (c *chaos) call(ctx context.Context) {
	w := &wish{}
	var opts []core.CallOption
	switch c.r.IntN(6) {
	case 0:
		w.on = oneOf(c.r, c.all...).Addr
		opts = append(opts, core.WithEndpoint(w.on))
	case 1:
		w.avoid = oneOf(c.r, c.all...).Addr
		opts = append(opts, core.WithoutEndpoint(w.avoid))
	case 2:
		w.keyed = true
		if k := c.r.IntN(20); k < 10 {
			opts = append(opts, core.WithKey(fmt.Sprint(k)))
		} else {
			opts = append(opts, core.WithKeyHash(c.r.Uint64()))
		}
	}
	cancel := func() {}
	if c.r.IntN(3) == 0 {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(c.r.IntN(500))*time.Millisecond)
	}
	c.mu.Lock()
	c.waiting[w] = true
	c.mu.Unlock()
	go func() { // the bubble waits for it
		defer cancel()
		l, err := c.pool.Get(ctx, opts...)
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.waiting, w)
		if err == nil {
			c.held = append(c.held, l)
		}
	}()
}

func (c *chaos) take() (l core.Lease[*chaosConn], ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.held) == 0 {
		return l, false
	}
	i, last := c.r.IntN(len(c.held)), len(c.held)-1
	l, c.held[i] = c.held[i], c.held[last]
	c.held = c.held[:last]
	return l, true
}

// wantNobodyWaitsInVain looks several times, since something may be under way
// at any one moment; what is wrong for seconds is wrong.
func (c *chaos) wantNobodyWaitsInVain() {
	var wrong []string
	for range 40 {
		synctest.Wait()
		if wrong = c.wrong(); len(wrong) == 0 {
			return
		}
		time.Sleep(70 * time.Millisecond)
	}
	c.errorf("%q with %+v, now active %d, total %d", wrong, c.pool.Stats(), c.maxActive, c.maxTotal)
}

func (c *chaos) wrong() (all []string) {
	wrong := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	st := c.pool.Stats()
	c.mu.Lock()
	defer c.mu.Unlock()
	positions, unused, used := 0, 0, 0
	for _, e := range st.Endpoints {
		positions += e.Open + e.Dialing + e.Closing
		unused += max(0, e.Idle-e.Open*(c.sharing-1)) // at least so many are nobody's
		used += e.InUse
		if e.Idle+e.InUse > e.Open*c.sharing {
			wrong("more slots than connections: %+v", e)
		}
	}
	room := c.maxTotal == 0 || positions < c.maxTotal
	for _, e := range st.Endpoints {
		free := e.Open+e.Dialing+e.Closing < c.maxActive
		for w := range c.waiting {
			switch {
			case e.Ejected && w.on == "", w.keyed, w.on != "" && w.on != e.Endpoint.Addr, w.avoid == e.Endpoint.Addr && len(c.all) > 1:
			case e.Idle > 0:
				wrong("%+v waits beside an idle connection", w)
			case free && (room || unused > 0):
				wrong("%+v waits beside a connection that may be opened", w)
			}
		}
		if e.Ejected && len(c.all) == 1 {
			wrong("the only server is ejected")
		}
		if e.Down && room {
			wrong("%s is down", e.Endpoint.Addr)
		}
		if c.maxTotal == 0 && e.Idle < c.minIdle && e.Open < c.maxActive && e.Dialing+e.Closing == 0 {
			wrong("too few idle: %+v", e)
		}
	}
	if used != len(c.held) && !c.flaps && c.often == 0 {
		wrong("%d slots are in use by %d leases", used, len(c.held))
	}
	return all
}

// wantAllServed releases what there is until no call waits.
func (c *chaos) wantAllServed() {
	for range 400 {
		c.mu.Lock()
		held, n := c.held, len(c.waiting)+c.often
		c.held = nil
		c.mu.Unlock()
		for _, l := range held {
			if err := l.Release(); err != nil && !c.flaps {
				c.errorf("releasing: %v", err)
			}
		}
		if n == 0 && len(held) == 0 {
			c.wantLimits()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	c.errorf("calls wait although nothing is leased: %+v", c.pool.Stats())
}

// wantLimits looks at a pool of which nothing is leased.
func (c *chaos) wantLimits() {
	time.Sleep(5 * time.Second) // what was retired in the instant of its release is closed by a sweep
	var st core.Stats
	for range 40 {
		synctest.Wait()
		st = c.pool.Stats()
		open, closing, bad := 0, 0, false
		for _, e := range st.Endpoints {
			open += e.Open
			closing += e.Closing + e.Dialing
			bad = bad || e.Open > c.maxActive || e.InUse != 0 || e.Idle != e.Open*c.sharing
		}
		c.mu.Lock()
		bad = bad || c.open != open || c.maxTotal > 0 && open > c.maxTotal
		c.mu.Unlock()
		if !bad && closing == 0 {
			return
		}
		time.Sleep(70 * time.Millisecond)
	}
	c.errorf("at rest, now active %d, total %d, %d are open: %+v", c.maxActive, c.maxTotal, c.open, st)
}
