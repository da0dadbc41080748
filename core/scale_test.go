package core_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

const many = 10_000

// manyEndpoints returns a large set. Its slice and strings are the caller's.
func manyEndpoints() []core.Endpoint {
	set := make([]core.Endpoint, many)
	for i := range set {
		set[i] = core.Endpoint{Addr: fmt.Sprintf("10.0.%d.%d:80", i/256, i%256)}
	}
	return set
}

// counter is a dialer that only counts, by address.
type counter struct {
	mu             sync.Mutex
	opened, closed map[string]int
}

func newCounter() *counter { return &counter{opened: map[string]int{}, closed: map[string]int{}} }

func (c *counter) Dial(_ context.Context, e core.Endpoint) (*counted, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opened[e.Addr]++
	return &counted{c, e.Addr}, nil
}

type counted struct {
	by   *counter
	addr string
}

func (c *counted) Close() error {
	c.by.mu.Lock()
	defer c.by.mu.Unlock()
	c.by.closed[c.addr]++
	return nil
}

// TestChangeOfOneAmongManyEndpointsTouchesNoOther holds a connection to each of
// ten thousand servers and changes one of them: the others' connections are
// neither closed nor dialed, and of their records no new ones are made.
func TestChangeOfOneAmongManyEndpointsTouchesNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, c := newRegistry(t), newCounter()
		p, err := core.New[*counted](r, c, core.MinIdle(1), core.MaxActive(2), core.IdleTimeout(0), core.RemovalGrace(0))
		if err != nil {
			t.Fatal(err)
		}
		set := manyEndpoints()
		r.say(set...)
		if len(c.opened) != many || len(c.closed) != 0 {
			t.Fatalf("%d servers dialed, %d closed", len(c.opened), len(c.closed))
		}
		const changed = "10.0.7.7:80"
		index := 7*256 + 7
		for _, step := range []struct {
			name           string
			change         func()
			opened, closed int
		}{
			{"nothing", func() {}, 1, 0},
			{"its weight", func() { set[index].Weight = 2 }, 1, 0},
			{"it leaves", func() { set = append(set[:index:index], set[index+1:]...) }, 1, 1},
			{"it comes", func() { set = append(set, core.Endpoint{Addr: changed}) }, 2, 1},
		} {
			step.change()
			time.Sleep(50 * time.Millisecond) // so that it is taken over at once
			synctest.Wait()
			allocs := allocations(func() {
				r.do(func(report func([]core.Endpoint)) error {
					report(set)
					return nil
				})
				synctest.Wait()
			})
			if opened, closed := c.opened[changed], c.closed[changed]; opened != step.opened || closed != step.closed {
				t.Errorf("%s: %d connections to it opened, %d closed, want %d and %d", step.name, opened, closed, step.opened, step.closed)
			}
			others := 0
			for a, n := range c.opened {
				if a != changed && n == 1 && c.closed[a] == 0 {
					others++
				}
			}
			if others != many-1 {
				t.Errorf("%s: the connections to %d others were touched", step.name, many-1-others)
			}
			// A record made for each endpoint would be ten thousand at least.
			if allocs > many/10 {
				t.Errorf("%s: %d allocations", step.name, allocs)
			}
			t.Logf("%s: %d allocations", step.name, allocs)
		}
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
		for a, n := range c.opened {
			if c.closed[a] != n {
				t.Errorf("%d of %d connections to %s are closed", c.closed[a], n, a)
			}
		}
	})
}

// allocations counts what f allocates, and whatever runs meanwhile.
func allocations(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs
}

// TestCloseOfManyEndpointsLeavesNothing closes a pool with idle, leased and
// late connections to ten thousand servers, and with calls that wait.
func TestCloseOfManyEndpointsLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, c := newRegistry(t), newCounter()
		var late atomic.Int64
		d := core.DialFunc[*counted](func(ctx context.Context, e core.Endpoint) (*counted, error) {
			if late.Load() > 0 { // deaf to its context
				time.Sleep(time.Second)
			}
			return c.Dial(ctx, e)
		})
		p, err := core.New[*counted](r, d, core.MinIdle(1), core.MaxActive(3))
		if err != nil {
			t.Fatal(err)
		}
		set := manyEndpoints()
		r.say(set...)
		var leases []core.Lease[*counted]
		for i := range 100 {
			l, err := p.Get(t.Context(), core.WithEndpoint(set[i].Addr))
			if err != nil {
				t.Fatal(err)
			}
			leases = append(leases, l)
		}
		late.Store(1)
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() { // takes the idle one, then waits for a dial
				for range 3 {
					l, err := p.Get(t.Context(), core.WithEndpoint(set[200+i].Addr))
					if err == nil {
						defer l.Release()
					}
				}
			})
		}
		synctest.Wait()
		time.AfterFunc(2*time.Second, func() {
			for _, l := range leases {
				l.Release()
			}
		})
		begun := time.Now()
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if d := time.Since(begun); d != 2*time.Second {
			t.Errorf("closed after %v, the last lease ended after 2s", d)
		}
		wg.Wait()
		opened, closed := 0, 0
		for _, n := range c.opened {
			opened += n
		}
		for _, n := range c.closed {
			closed += n
		}
		if opened != closed || opened < many+100 {
			t.Errorf("%d connections opened, %d closed", opened, closed)
		}
	})
}

// TestPoolsLeaveNoGoroutine opens and closes pools outside of a bubble, where
// the runtime's real timers and network would run.
func TestPoolsLeaveNoGoroutine(t *testing.T) {
	noGoroutinesLeft(t)
	for k := range 20 {
		f := newFleet(t, "a:1", "b:1", "c:1")
		p, err := core.New[*link](f, f, core.MinIdle(k%3), core.LeakDetectionThreshold(time.Duration(k%2)*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := p.WaitReady(ctx); err != nil {
			t.Error(err)
		}
		if k%4 != 0 {
			f.reports <- endpoints("b:1", "c:1", "d:1")
		}
		if err := p.Close(ctx); err != nil {
			t.Error(err)
		}
		cancel()
		if opened, closed := f.counts(); opened != closed || opened == 0 {
			t.Errorf("%d connections opened, %d closed", opened, closed)
		}
	}
}

// BenchmarkChangeOfOneAmongManyEndpoints is the time from the report of a set
// in which one of ten thousand endpoints was replaced to the drain of the old
// one.
func BenchmarkChangeOfOneAmongManyEndpoints(b *testing.B) {
	reports, removed := make(chan []core.Endpoint), make(chan struct{})
	w := watchFunc(func(ctx context.Context, report func([]core.Endpoint)) error {
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case set := <-reports:
				report(set)
			}
		}
	})
	p, err := core.New[*counted](w, newCounter(), core.WithObserver((&inspector{onRemoved: func() { removed <- struct{}{} }}).Observe))
	if err != nil {
		b.Fatal(err)
	}
	set := manyEndpoints()
	reports <- set
	if err := p.WaitReady(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		time.Sleep(25 * time.Millisecond) // or the pool takes it for part of a burst
		set[77].Addr = [...]string{"x:1", "y:1"}[i%2]
		b.StartTimer()
		reports <- set
		<-removed
	}
	if err := p.Close(b.Context()); err != nil {
		b.Error(err)
	}
}

// TestMemoryComesBackWhenTheSetShrinks is about what lists, maps and indices keep of
// servers that have left.
func TestMemoryComesBackWhenTheSetShrinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(t)
		p := open(t, r, newFleet(t), core.RemovalGrace(0))
		heap := func(set []core.Endpoint) uint64 {
			r.say(set...)
			if p.Len() != len(set) {
				t.Fatalf("%d endpoints, want %d", p.Len(), len(set))
			}
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		one := heap(manyEndpoints()[:1])
		all := heap(manyEndpoints())
		if back := heap(manyEndpoints()[:1]); back > one+(all-one)/8 {
			t.Errorf("%d KB with one server, %d with %d, %d with one again", one>>10, all>>10, many, back>>10)
		}
	})
}
