package util_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/util"
)

// odd is a connection of a type that is not comparable.
type odd struct{ closed []*bool }

func (o odd) Close() error {
	for _, c := range o.closed {
		*c = true
	}
	return nil
}

func (odd) Health() error { return nil }

func TestInitNamesEveryMistake(t *testing.T) {
	list := (*util.MultiPool).InitFromServerList
	node := (*util.MultiPool).InitFromZkChildrenNode
	a, z := []string{"a:1"}, []string{"z:2181"}
	for _, c := range []struct {
		name string
		pool *util.MultiPool
		init func(*util.MultiPool) error
		want []string
	}{
		{"no server", &util.MultiPool{SingleFactory: fakes}, list, []string{"static"}},
		{"no address", &util.MultiPool{SingleFactory: fakes, Servers: []string{"localhost"}}, list, []string{"localhost"}},
		{"a server twice", &util.MultiPool{SingleFactory: fakes, Servers: []string{"a:1", "a:1"}}, list, []string{"a:1"}},
		{"no factory", &util.MultiPool{Servers: a}, list, []string{"SingleFactory"}},
		{"no ensemble", &util.MultiPool{SingleFactory: fakes, ZkNode: "/s"}, node, []string{"server"}},
		{"no node", &util.MultiPool{SingleFactory: fakes, ZkServers: z}, node, []string{"path"}},
		{"a short session", &util.MultiPool{SingleFactory: fakes, ZkServers: z, ZkNode: "/s", ZkSessionTimeout: 1}, node, []string{"session_timeout"}},
		{
			"everything",
			&util.MultiPool{SingleMaxActiveCount: -1, SingleMaxIdleCount: -1, IdleTimeOut: -1, ConnTimeout: -1, ConnTryCount: -1, ZkNode: "nonsense"},
			node,
			[]string{"MaxActive(-1)", "MaxIdle(-1)", "IdleTimeout(-1ns)", "ConnTimeout(-1ns)", "ConnTryCount(-1)", "SingleFactory", "nonsense"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.init(c.pool)
			if err == nil {
				t.Fatal("no error")
			}
			for _, s := range c.want {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("the error does not name %s: %v", s, err)
				}
			}
			if _, _, err := c.pool.Get(); err == nil {
				t.Error("Get returned no error")
			}
		})
	}
}

func TestMethodsReturnAnErrorBeforeInit(t *testing.T) {
	p := &util.MultiPool{}
	_, _, get := p.Get()
	_, _, key := p.GetThroughConsistentHash("key")
	_, _, one := p.GetServerConn("a:1")
	for _, err := range []error{get, key, one, p.Put(&fake{}, "a:1", false)} {
		if err == nil || !strings.Contains(err.Error(), "not initialized") {
			t.Errorf("error %v", err)
		}
	}
	if n := len(p.Stats().Endpoints); n != 0 {
		t.Errorf("%d servers", n)
	}
	stop(t, p)
}

func TestInitIsCalledOnce(t *testing.T) {
	p := &util.MultiPool{Servers: []string{"a:1"}, SingleFactory: fakes}
	start(t, p)
	defer stop(t, p)
	if err := p.InitFromServerList(); err == nil || !strings.Contains(err.Error(), "initialized already") {
		t.Errorf("error %v", err)
	}
}

func TestGetReportsWhatTheFactoryDidWrong(t *testing.T) {
	refused := errors.New("connection refused")
	closed := false
	conn := func(c util.Conn, err error) func(string, time.Duration, int) util.Factory {
		return func(string, time.Duration, int) util.Factory {
			return dial(func() (util.Conn, error) { return c, err })
		}
	}
	for name, c := range map[string]struct {
		factory func(string, time.Duration, int) util.Factory
		want    string
	}{
		"no factory":                  {func(string, time.Duration, int) util.Factory { return nil }, "SingleFactory returned nil for a:1"},
		"a factory that panics":       {func(string, time.Duration, int) util.Factory { panic("oh no") }, "oh no"},
		"no connection":               {conn(nil, nil), "NewConnection returned nil for a:1"},
		"an error":                    {conn(nil, refused), "connecting to a:1: connection refused"},
		"an error and a connection":   {conn(&fake{}, refused), "connecting to a:1: connection refused"},
		"a connection not comparable": {conn(odd{[]*bool{&closed}}, nil), "a util_test.odd, which is not comparable"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &util.MultiPool{Servers: []string{"a:1"}, SingleFactory: c.factory}
				start(t, p)
				defer stop(t, p)
				got, _, err := p.Get()
				if got != nil || !errors.Is(err, core.ErrUnavailable) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, %v", got, err)
				}
			})
		})
	}
	if !closed {
		t.Error("the connection that is not comparable was not closed")
	}
}

func TestFactoryReceivesTheTimeoutAndTheCount(t *testing.T) {
	for _, c := range []struct {
		pool    *util.MultiPool
		timeout time.Duration
		tries   int
	}{
		{&util.MultiPool{}, time.Second, 1},
		{&util.MultiPool{ConnTimeout: 3 * time.Second, ConnTryCount: 2}, 3 * time.Second, 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := c.pool
			p.Servers = []string{"a:1"}
			p.SingleFactory = func(server string, timeout time.Duration, tries int) util.Factory {
				if server != "a:1" || timeout != c.timeout || tries != c.tries {
					t.Errorf("called with %s, %v, %d", server, timeout, tries)
				}
				return fakes(server, timeout, tries)
			}
			start(t, p)
			defer stop(t, p)
			conn, name := get(t, p)
			put(t, p, conn, name)
		})
	}
}

func TestGetNamesChildrenThatAreNoServers(t *testing.T) {
	malformed := errors.New("is no host:port")
	for _, c := range []struct {
		skipped map[string]error
		want    []string
	}{
		{map[string]error{"redis-1": malformed}, []string{`"redis-1" (is no host:port)`, "/servers"}},
		{map[string]error{"a": malformed, "b": malformed, "c": malformed, "d": malformed, "e": malformed, "f": malformed, "g": malformed}, []string{"and 2 more"}},
		{nil, []string{"/servers", "has no children, or does not exist"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := &util.MultiPool{SingleFactory: fakes, ZkNode: "/servers"}
			if err := p.InitFromChildren(static.NewList(), c.skipped); err != nil {
				t.Fatal(err)
			}
			defer stop(t, p)
			time.Sleep(time.Second)
			_, _, err := p.Get()
			if !errors.Is(err, core.ErrNoEndpoint) {
				t.Fatalf("Get returned %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Get returned %v, which does not say %s", err, want)
				}
			}
			if n := p.Stats().Rejected; n != uint64(len(c.skipped)) {
				t.Errorf("%d are rejected of %d", n, len(c.skipped))
			}
		})
	}
}

func TestGetReturnsTheErrorOfAnInitWhoseResultWasDropped(t *testing.T) {
	p := &util.MultiPool{Servers: []string{"a:1", "redis-1"}, SingleFactory: fakes}
	_ = p.InitFromServerList()
	_, _, err := p.Get()
	if err == nil || !strings.Contains(err.Error(), "redis-1") {
		t.Errorf("Get returned %v", err)
	}
	p.Servers = []string{"a:1"} // it may be initialized again
	start(t, p)
	defer stop(t, p)
	conn, name := get(t, p)
	put(t, p, conn, name)
}

// A product that is negative would be over at once.
func TestTimeoutTimesCountHasACeiling(t *testing.T) {
	for _, c := range []struct {
		timeout time.Duration
		tries   int
	}{{time.Hour, math.MaxInt}, {math.MaxInt64, 2}, {math.MaxInt64, 1}, {1 << 62, 4}} {
		synctest.Test(t, func(t *testing.T) {
			p := &util.MultiPool{
				Servers: []string{"a:1"}, SingleMaxActiveCount: 1, SingleMaxIdleCount: 1, SingleFactory: fakes, ConnTimeout: c.timeout, ConnTryCount: c.tries,
			}
			start(t, p)
			defer stop(t, p)
			conn, name := get(t, p)
			time.AfterFunc(10*time.Minute, func() { put(t, p, conn, name) })
			conn, name = get(t, p) // waits
			put(t, p, conn, name)
		})
	}
}

func TestRatesAndIntervalOfEjectionCanBeSet(t *testing.T) {
	// failing returns how many of the first calls to a server that always fails are made
	// in 10 s, among those to three servers.
	failing := func(p *util.MultiPool) (n int) {
		synctest.Test(t, func(t *testing.T) {
			p.Servers, p.SingleFactory, p.SingleMaxIdleCount = []string{"a:1", "b:1", "c:1"}, fakes, 1
			start(t, p)
			defer stop(t, p)
			for range 1000 {
				conn, name := get(t, p)
				if conn.server == "a:1" {
					n++
				}
				if err := p.Put(conn, name, conn.server == "a:1"); err != nil {
					t.Error(err)
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
		return n
	}
	usual := failing(&util.MultiPool{})
	for name, c := range map[string]struct {
		pool        *util.MultiPool
		least, most int
	}{
		"it is ejected for longer": {&util.MultiPool{KickedInterval: time.Minute}, 1, usual * 3 / 4},
		"it is ejected later":      {&util.MultiPool{FailRate: 0.99, KickedInterval: time.Minute}, 3, 20},
		"it is never ejected":      {&util.MultiPool{FailRate: 1}, 60, 1000},
		"none may be ejected":      {&util.MultiPool{MaxKickRate: 0.01}, 60, 1000},
	} {
		if n := failing(c.pool); n < c.least || n > c.most {
			t.Errorf("%s: %d calls went to the server whose calls fail, want %d to %d; by default %d", name, n, c.least, c.most, usual)
		}
	}
	for _, p := range []*util.MultiPool{{FailRate: -1}, {FailRate: 1.1}, {MaxKickRate: math.NaN()}, {KickedInterval: -1}} {
		p.SingleFactory, p.Servers = fakes, []string{"a:1"}
		if err := p.InitFromServerList(); err == nil || !strings.Contains(err.Error(), "Rate") && !strings.Contains(err.Error(), "KickedInterval") {
			t.Errorf("%v, %v, %v: error %v", p.FailRate, p.MaxKickRate, p.KickedInterval, err)
		}
	}
}
