package util_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/util"
)

func TestSecondPutIsRefusedWhileTheConnectionIsLeasedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &util.MultiPool{Servers: []string{"a:1"}, SingleMaxActiveCount: 1, SingleMaxIdleCount: 1, SingleFactory: fakes}
		start(t, p)
		defer stop(t, p)
		first, firstName := get(t, p)
		put(t, p, first, firstName)
		for range util.LeaseNames - 2 {
			second, secondName := get(t, p)
			if second != first {
				t.Fatal("Get returned another connection")
			}
			stale(t, p.Put(first, firstName, false))
			stale(t, p.Put(first, firstName, true))
			put(t, p, second, secondName)
		}
		last, lastName := get(t, p)
		stale(t, p.Put(first, firstName, false))
		if _, _, err := p.Get(); !errors.Is(err, util.ErrPoolExhausted) {
			t.Errorf("a leased connection was leased again: %v", err)
		}
		if firstName != "a:1" || lastName != "a:1" {
			t.Errorf("names %q and %q", firstName, lastName)
		}
		put(t, p, last, lastName)
	})
}

func TestSecondPutWithAnEqualNameIsRefusedWhileTheConnectionIsIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &util.MultiPool{Servers: []string{"a:1"}, SingleMaxIdleCount: 1, SingleFactory: fakes}
		start(t, p)
		defer stop(t, p)
		conn, name := get(t, p)
		put(t, p, conn, strings.Clone(name))
		stale(t, p.Put(conn, strings.Clone(name), false))
		stale(t, p.Put(&fake{}, name, false))
		stale(t, p.Put(odd{nil}, name, false))
		if err := p.Put(nil, "", false); err != nil { // the defer of a Get that failed
			t.Error(err)
		}
	})
}

func TestConnectionHasOneLeaseHoweverOftenItIsPut(t *testing.T) {
	p := &util.MultiPool{
		Servers: []string{"a:1", "b:1", "c:1"}, SingleMaxActiveCount: 2, SingleMaxIdleCount: 1, SingleFactory: fakes,
		ConnTimeout: time.Minute,
	}
	start(t, p)
	defer stop(t, p)
	var callers sync.WaitGroup
	var refused atomic.Int64
	for range 16 {
		callers.Go(func() {
			for range 500 {
				conn, name := get(t, p)
				if n := conn.users.Add(1); n != 1 {
					t.Errorf("%d callers use the connection", n)
				}
				if conn.server != name || conn.closed.Load() {
					t.Errorf("a connection to %s for %s, closed: %t", conn.server, name, conn.closed.Load())
				}
				conn.users.Add(-1)
				if err := p.Put(conn, name, rand.IntN(20) == 0); err != nil {
					t.Error(err)
				}
				for range rand.IntN(3) {
					stale(t, p.Put(conn, name, rand.IntN(2) == 0))
					refused.Add(1)
				}
			}
		})
	}
	callers.Wait()
	if refused.Load() == 0 {
		t.Error("no connection was Put twice")
	}
}

func TestIdleConnectionsAreClosedAfterTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &util.MultiPool{Servers: []string{"a:1"}, SingleMaxIdleCount: 2, IdleTimeOut: 5 * time.Second, SingleFactory: fakes}
		start(t, p)
		defer stop(t, p)
		one, oneName := get(t, p)
		two, twoName := get(t, p)
		put(t, p, one, oneName)
		put(t, p, two, twoName)
		time.Sleep(4 * time.Second)
		used, usedName := get(t, p)
		put(t, p, used, usedName)
		time.Sleep(3 * time.Second) // 7 s since the other was used, 3 s since this one was
		synctest.Wait()
		other := one
		if used == one {
			other = two
		}
		if used.closed.Load() || !other.closed.Load() {
			t.Errorf("after 3 s closed: %t; after 7 s: %t", used.closed.Load(), other.closed.Load())
		}
	})
}

func TestPutClosesConnectionsBeyondTheIdleCount(t *testing.T) {
	for _, most := range []int{0, 2} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &util.MultiPool{Servers: []string{"a:1"}, SingleMaxIdleCount: most, SingleFactory: fakes}
				start(t, p)
				defer stop(t, p)
				var conns [4]*fake
				var names [4]string
				for i := range conns {
					conns[i], names[i] = get(t, p)
				}
				for i := range conns {
					put(t, p, conns[i], names[i])
				}
				synctest.Wait()
				kept := 0
				for _, c := range conns {
					if !c.closed.Load() {
						kept++
					}
				}
				if kept != most {
					t.Errorf("%d connections are kept, want %d", kept, most)
				}
			})
		})
	}
}

func TestGetWaitsForAPutUntilItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &util.MultiPool{
			Servers: []string{"a:1", "b:1"}, SingleMaxActiveCount: 1, SingleMaxIdleCount: 1, SingleFactory: fakes,
			ConnTimeout: 2 * time.Second, ConnTryCount: 3,
		}
		start(t, p)
		defer stop(t, p)
		one, oneName := get(t, p)
		two, twoName := get(t, p)
		begun := time.Now()
		if _, _, err := p.Get(); !errors.Is(err, util.ErrPoolExhausted) {
			t.Errorf("Get returned %v", err)
		}
		if d := time.Since(begun); d != 6*time.Second {
			t.Errorf("after %v", d)
		}
		time.AfterFunc(time.Second, func() { put(t, p, one, oneName) })
		three, threeName := get(t, p)
		if three != one {
			t.Error("Get returned another connection than the one that was Put")
		}
		put(t, p, two, twoName)
		put(t, p, three, threeName)
	})
}

func TestServersThatStayKeepTheirConnectionsWhenTheSetChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := func(addr string) core.Endpoint { return core.Endpoint{Addr: addr} }
		list := static.NewList(e("a:1"), e("b:1"))
		p := &util.MultiPool{SingleMaxIdleCount: 1, SingleFactory: fakes}
		if err := p.InitFrom(list); err != nil {
			t.Fatal(err)
		}
		defer stop(t, p)
		stays, name, err := p.GetServerConn("a:1")
		if err != nil {
			t.Fatal(err)
		}
		put(t, p, stays, name)
		leaves, leavesName, err := p.GetServerConn("b:1")
		if err != nil {
			t.Fatal(err)
		}
		if err := list.Set(e("a:1"), e("c:1")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // the pool may apply quick changes together
		synctest.Wait()
		if again, name, err := p.GetServerConn("a:1"); err != nil || again != stays {
			t.Errorf("the server that stays has another connection (%v)", err)
		} else {
			put(t, p, again, name)
		}
		if _, name, err := p.GetServerConn("b:1"); !errors.Is(err, core.ErrNoEndpoint) || name != "b:1" {
			t.Errorf("Get from %s, which left: %v", name, err)
		}
		if leaves.(*fake).closed.Load() {
			t.Error("a leased connection to a server that left was closed")
		}
		put(t, p, leaves, leavesName) // the first version leaked it here
		synctest.Wait()
		if !leaves.(*fake).closed.Load() {
			t.Error("Put did not close the connection to a server that left")
		}
	})
}

func TestKeysMoveOnlyFromAServerThatIsDown(t *testing.T) {
	down := map[string]*atomic.Bool{"a:1": {}, "b:1": {}, "c:1": {}}
	synctest.Test(t, func(t *testing.T) {
		p := &util.MultiPool{
			Servers: []string{"a:1", "b:1", "c:1"},
			SingleFactory: func(server string, _ time.Duration, _ int) util.Factory {
				return dial(func() (util.Conn, error) {
					if down[server].Load() {
						return nil, errors.New("connection refused")
					}
					return &fake{server: server}, nil
				})
			},
		}
		start(t, p)
		defer stop(t, p)
		where := func(key string) string {
			conn, name, err := p.GetThroughConsistentHash(key)
			if err != nil {
				t.Fatal(err)
			}
			put(t, p, conn, name)
			return conn.(*fake).server
		}
		const keys = 300
		owner := map[string]string{}
		owned := map[string]int{}
		for i := range keys {
			key := fmt.Sprint("key", i)
			owner[key] = where(key)
			owned[owner[key]]++
		}
		for s, n := range owned {
			if n < keys/6 || n > keys/2 {
				t.Errorf("%d of %d keys go to %s", n, keys, s)
			}
		}
		for key, s := range owner {
			if again := where(key); again != s {
				t.Errorf("%s went to %s and goes to %s", key, s, again)
			}
		}
		down["b:1"].Store(true)
		for key, s := range owner {
			if now := where(key); (s == "b:1") == (now == s) {
				t.Errorf("%s went to %s and goes to %s", key, s, now)
			}
		}
	})
}

func TestForceCloseClosesTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &util.MultiPool{Servers: []string{"a:1"}, SingleMaxIdleCount: 1, SingleFactory: fakes}
		start(t, p)
		defer stop(t, p)
		conn, name := get(t, p)
		if err := p.Put(conn, name, true); err != nil {
			t.Error(err)
		}
		stale(t, p.Put(conn, name, false))
		synctest.Wait()
		if !conn.closed.Load() {
			t.Error("the connection is open")
		}
		next, name := get(t, p)
		if next == conn {
			t.Error("the connection was leased again")
		}
		put(t, p, next, name)
	})
}

func TestUnhealthyConnectionIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &util.MultiPool{Servers: []string{"a:1"}, SingleMaxIdleCount: 1, SingleFactory: fakes}
		start(t, p)
		defer stop(t, p)
		conn, name := get(t, p)
		put(t, p, conn, name)
		conn.unhealthy.Store(true)
		time.Sleep(3 * time.Second)
		next, name := get(t, p)
		if next == conn {
			t.Error("Get returned a connection whose Health is an error")
		}
		put(t, p, next, name)
	})
}

// alike is a connection that equals every other connection to its server.
type alike struct{ server string }

func (alike) Close() error  { return nil }
func (alike) Health() error { return nil }

func TestEqualConnectionsHaveSeparateLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &util.MultiPool{
			Servers: []string{"a:1"}, SingleMaxActiveCount: 2, SingleMaxIdleCount: 2,
			SingleFactory: func(server string, _ time.Duration, _ int) util.Factory {
				return dial(func() (util.Conn, error) { return alike{server}, nil })
			},
		}
		start(t, p)
		defer stop(t, p)
		one, oneName, err1 := p.Get()
		two, twoName, err2 := p.Get()
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		put(t, p, one, oneName)
		stale(t, p.Put(one, oneName, false)) // the other lease goes on
		if n := p.Stats().Endpoints[0].InUse; n != 1 {
			t.Errorf("%d connections are leased", n)
		}
		put(t, p, two, strings.Clone(twoName))
		stale(t, p.Put(two, twoName, false))
	})
}

func TestServersMayBeURLs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const url = "http://a:8080/api"
		p := &util.MultiPool{Servers: []string{url}, SingleMaxIdleCount: 1, SingleFactory: fakes}
		start(t, p)
		defer stop(t, p)
		conn, name := get(t, p)
		if conn.server != url || name != url {
			t.Errorf("a connection to %s of the server %s", conn.server, name)
		}
		put(t, p, conn, name)
		again, name, err := p.GetServerConn(url)
		if err != nil || name != url || again != util.Conn(conn) {
			t.Errorf("got %v of %s, %v", again, name, err)
		}
		put(t, p, again, name)
	})
}

func TestCloseWaitsForLeasedConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &util.MultiPool{Servers: []string{"a:1"}, SingleMaxIdleCount: 1, SingleFactory: fakes}
		start(t, p)
		conn, name := get(t, p)
		time.AfterFunc(time.Second, func() { put(t, p, conn, name) })
		begun := time.Now()
		if err := p.Close(); err != nil || time.Since(begun) != time.Second || !conn.closed.Load() {
			t.Errorf("Close returned %v after %v, closed: %t", err, time.Since(begun), conn.closed.Load())
		}
		if _, _, err := p.Get(); !errors.Is(err, core.ErrClosed) {
			t.Errorf("Get returned %v", err)
		}
		stop(t, p)
	})
}

func TestCloseClosesAfterTheTimeoutWhatIsNeverPut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &util.MultiPool{Servers: []string{"a:1"}, SingleMaxActiveCount: 1, SingleMaxIdleCount: 1, SingleFactory: fakes, ConnTimeout: time.Hour}
		start(t, p)
		conn, name := get(t, p)
		waiting := make(chan error)
		go func() { // ends with the pool
			_, _, err := p.Get()
			waiting <- err
		}()
		synctest.Wait()
		begun := time.Now()
		ended := make(chan error)
		go func() { ended <- p.Close() }() // ends after CloseTimeout
		if err := <-waiting; !errors.Is(err, core.ErrClosed) {
			t.Errorf("the Get that waited returned %v", err)
		}
		if err := <-ended; err == nil || time.Since(begun) != util.CloseTimeout {
			t.Errorf("Close returned %v after %v", err, time.Since(begun))
		}
		synctest.Wait()
		if !conn.closed.Load() {
			t.Error("the connection is open")
		}
		stale(t, p.Put(conn, name, false))
		stop(t, p)
	})
}
