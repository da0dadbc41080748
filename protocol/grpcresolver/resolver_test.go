package grpcresolver_test

import (
	"errors"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/protocol/grpcresolver"
)

func TestCallsGoToTheServersOfTheRegistry(t *testing.T) {
	a, b, c := start(t), start(t), start(t)
	list := static.NewList(endpoints(a, b, c)...)
	cc := dial(t, "multipool:///echo", grpcresolver.Of(list))
	serving(t, cc, a, b, c)
	if err := list.Set(endpoints(a, b)...); err != nil {
		t.Fatal(err)
	}
	serving(t, cc, a, b)
	if err := list.Set(endpoints(a, b, c)...); err != nil {
		t.Fatal(err)
	}
	serving(t, cc, a, b, c)
	for _, s := range []*server{a, b} {
		if n := s.conns.Load(); n != 1 {
			t.Errorf("%d connections to a server that stayed", n)
		}
	}
}

func TestAttributesHaveTheEndpointOfTheRegistry(t *testing.T) {
	s := start(t)
	e := discovery.Endpoint{Addr: s.addr, Weight: 2.5, Zone: "a", Attrs: map[string]string{"version": "7"}}
	list := static.NewList(e)
	cc := dial(t, "multipool:///echo", grpcresolver.Of(list))
	serving(t, cc, s)
	check := func(want discovery.Endpoint) {
		t.Helper()
		states, _ := spied.got()
		last := states[len(states)-1]
		got, ok := grpcresolver.FromEndpoint(last.Endpoints[0])
		if !ok || !got.Equal(want) {
			t.Errorf("the endpoint has %+v, want %+v", got, want)
		}
		if got, ok := grpcresolver.FromAddress(last.Addresses[0]); !ok || !got.Equal(want) {
			t.Errorf("the address has %+v, want %+v", got, want)
		}
	}
	check(e)
	e.Weight, e.Attrs = 1, map[string]string{"version": "8"}
	if err := list.Set(e); err != nil {
		t.Fatal(err)
	}
	until(t, "the balancer gets it", func() bool { states, _ := spied.got(); return len(states) > 1 })
	check(e)
	serving(t, cc, s)
	if n := s.conns.Load(); n != 1 {
		t.Errorf("%d connections: new attributes cost one", n)
	}
	if _, ok := grpcresolver.FromEndpoint(resolver.Endpoint{}); ok {
		t.Error("an endpoint of another resolver is ours")
	}
	if _, ok := grpcresolver.FromAddress(resolver.Address{}); ok {
		t.Error("an address of another resolver is ours")
	}
}

func TestSetThatDidNotChangeIsNotSentAgain(t *testing.T) {
	a, b, c := start(t), start(t), start(t)
	w := newScript()
	cc := dial(t, "multipool:///echo", grpcresolver.Of(w))
	cc.Connect()
	for range 3 {
		w.reports <- endpoints(a, b)
		w.reports <- endpoints(b, a)
		w.ends <- errors.New("lost") // and the next watch says the same
	}
	w.reports <- endpoints(a, b, c)
	serving(t, cc, a, b, c)
	states, errs := spied.got()
	if len(states) != 2 || len(states[0].Endpoints) != 2 || len(states[1].Endpoints) != 3 {
		t.Errorf("it was sent %v", states)
	}
	if len(errs) != 3 {
		t.Errorf("it got the errors %v", errs)
	}
}

func TestLostWatchIsReportedAndItsServersStay(t *testing.T) {
	a, b := start(t), start(t)
	w := newScript()
	var log errorLog
	cc := dial(t, "multipool:///echo", grpcresolver.Of(w, grpcresolver.OnError(log.add), grpcresolver.RemovalGrace(0)))
	cc.Connect()
	w.reports <- endpoints(a, b)
	serving(t, cc, a, b)
	w.ends <- errors.New("the registry is on fire")
	until(t, "the balancer gets it", func() bool { _, errs := spied.got(); return len(errs) == 1 })
	if _, errs := spied.got(); !strings.Contains(errs[0].Error(), "echo") || !strings.Contains(errs[0].Error(), "on fire") {
		t.Errorf("it got %v", errs[0])
	}
	serving(t, cc, a, b)
	w.reports <- endpoints(a) // the watch was begun again
	serving(t, cc, a)
	log.want(t, "watching the servers of echo, trying again in ")
}

func TestRegistryThatCannotBeReachedIsTheErrorOfCalls(t *testing.T) {
	w := newScript()
	cc := dial(t, "multipool:///echo", grpcresolver.Of(w))
	cc.Connect()
	w.ends <- errors.New("the registry is on fire")
	_, err := call(t, cc)
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "on fire") {
		t.Errorf("got %v", err)
	}
	s := start(t)
	w.reports <- endpoints(s)
	serving(t, cc, s)
}

func TestEmptySetIsTheErrorOfCalls(t *testing.T) {
	var log errorLog
	cc := dial(t, "multipool:///echo", grpcresolver.Of(static.NewList(), grpcresolver.OnError(log.add)))
	if _, err := call(t, cc); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v", err)
	}
	log.want(t, "cannot use the 0 servers of echo")
}

func TestServersThatVanishAtOnceStayForTheGrace(t *testing.T) {
	for _, c := range []struct {
		grace time.Duration
		kept  bool
	}{{grpcresolver.DefaultRemovalGrace, true}, {0, false}} {
		a, b := start(t), start(t)
		w := newScript()
		cc := dial(t, "multipool:///echo", grpcresolver.Of(w, grpcresolver.RemovalGrace(c.grace)))
		cc.Connect()
		w.reports <- endpoints(a)
		serving(t, cc, a)
		w.reports <- endpoints(b)
		if c.kept {
			serving(t, cc, a, b)
		} else {
			serving(t, cc, b)
		}
	}
}

func TestCloseWaitsForTheWatch(t *testing.T) {
	w := newScript()
	for range 10 {
		cc := dial(t, "multipool:///echo", grpcresolver.Of(w))
		cc.Connect()
		w.reports <- nil
		if err := cc.Close(); err != nil {
			t.Error(err)
		}
		if n := w.running.Load(); n != 0 {
			t.Fatalf("%d watches run after Close", n)
		}
	}
}

func TestClientThatWasIdleWatchesAgain(t *testing.T) {
	s := start(t)
	w := newScript()
	cc := dial(t, "multipool:///echo", grpcresolver.Of(w), grpc.WithIdleTimeout(50*time.Millisecond))
	for range 2 {
		cc.Connect()
		w.reports <- endpoints(s)
		serving(t, cc, s)
		until(t, "the watch ends with the idle time", func() bool { return w.running.Load() == 0 })
	}
}

func TestResolveNowDoesNoHarm(t *testing.T) {
	w := newScript()
	r, err := grpcresolver.Of(w).Build(resolver.Target{}, deaf{}, resolver.BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.reports <- nil
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				r.ResolveNow(resolver.ResolveNowOptions{})
			}
		})
	}
	all.Wait()
	w.reports <- nil
	if n := w.watches.Load(); n != 1 {
		t.Errorf("%d watches", n)
	}
	r.Close()
	r.ResolveNow(resolver.ResolveNowOptions{})
}

// deaf is a ClientConn of nobody.
type deaf struct{ resolver.ClientConn }

func (deaf) UpdateState(resolver.State) error { return errors.New("no, thanks") }
func (deaf) ReportError(error)                {}

func TestTargetNamesARegistryByItsURL(t *testing.T) {
	a, b := start(t), start(t)
	var mux discovery.Mux
	mux.Handle("static", static.Opener)
	builder := grpcresolver.Mux(&mux)
	serving(t, dial(t, "multipool:static://"+a.addr+","+b.addr, builder), a, b)
	for target, want := range map[string]string{
		"multipool:static://":               "static",
		"multipool:static://h:1?wieght=3":   "wieght",
		"multipool:nowhere://h:1/x":         "nowhere",
		"multipool:///static/without/a/url": "URL",
	} {
		if _, err := call(t, dial(t, target, builder)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", target, err)
		}
	}
}

func TestTheAuthorityIsTheLastPartOfThePath(t *testing.T) {
	b := grpcresolver.Of(static.NewList())
	for target, want := range map[string]string{
		"multipool:///echo":           "echo",
		"multipool:///services/echo/": "echo",
		"multipool:///":               "multipool",
		"multipool:zk://u:secret@h1:2181,h2:2181/services/echo?x": "echo",
		"multipool:static://h1:1,h2:1":                            "multipool",
		"multipool:etcd://h/a%20b/":                               "a%20b",
	} {
		u, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		over, ok := b.(resolver.AuthorityOverrider)
		if !ok {
			t.Fatal("the authority is gRPC's choice")
		}
		if got := over.OverrideAuthority(resolver.Target{URL: *u}); got != want {
			t.Errorf("%s: %q, want %q", target, got, want)
		}
	}
}

func TestUnixSocketsAndBadEntries(t *testing.T) {
	path := filepath.Join(t.TempDir(), "g.sock")
	s := startOn(t, "unix", path)
	var errs errorLog
	w := newScript()
	cc := dial(t, "multipool:///echo", grpcresolver.Of(w, grpcresolver.OnError(errs.add)))
	cc.Connect()
	w.reports <- []discovery.Endpoint{{Addr: "unix:" + path}, {Addr: "no port"}}
	serving(t, cc, s)
	errs.want(t, `an entry of echo is dropped: discovery: endpoint "no port"`)
}

// errorLog keeps errors.
type errorLog struct {
	mu   sync.Mutex
	errs []error
}

func (l *errorLog) add(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, err)
}

// want fails the test unless these are the errors, by a part of their text.
func (l *errorLog) want(t *testing.T, texts ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.errs) != len(texts) {
		t.Fatalf("the errors are %v, want %q", l.errs, texts)
	}
	for i, text := range texts {
		if !strings.Contains(l.errs[i].Error(), text) {
			t.Errorf("error %d is %q, want one with %q", i, l.errs[i], text)
		}
	}
}

func TestMistakesFailCalls(t *testing.T) {
	good := static.NewList()
	for want, b := range map[string]resolver.Builder{
		"no port":                         grpcresolver.Of(static.Watcher("no port")),
		"watcher is nil":                  grpcresolver.Of(nil),
		"RemovalGrace(-1s): must not be ": grpcresolver.Of(good, grpcresolver.RemovalGrace(-time.Second)),
	} {
		if _, err := call(t, dial(t, "multipool:///echo", b)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

// recorder is a ClientConn that keeps the orders of the servers.
type recorder struct {
	resolver.ClientConn

	orders chan []string
}

func (r recorder) UpdateState(s resolver.State) error {
	var order []string
	for _, e := range s.Endpoints {
		order = append(order, e.Addresses[0].Addr)
	}
	r.orders <- order
	return nil
}

func TestOrderOfServersIsAnotherOneForEachBuilderAndStays(t *testing.T) {
	set := make([]discovery.Endpoint, 20) // as likely in the same order as one in 10^18
	for i := range set {
		set[i].Addr = net.JoinHostPort("10.0.0.1", strconv.Itoa(i+1))
	}
	var orders [][]string
	for range 2 {
		list := static.NewList(set...)
		cc := recorder{orders: make(chan []string, 1)}
		r, err := grpcresolver.Of(list).Build(resolver.Target{}, cc, resolver.BuildOptions{})
		if err != nil {
			t.Fatal(err)
		}
		all := <-cc.orders
		if err := list.Set(set[1:]...); err != nil {
			t.Fatal(err)
		}
		less := <-cc.orders
		r.Close()
		orders = append(orders, slices.Clone(all))
		if want := slices.DeleteFunc(all, func(a string) bool { return a == set[0].Addr }); !slices.Equal(less, want) {
			t.Errorf("when a server went, the order became %v, want %v", less, want)
		}
	}
	if len(orders[0]) != len(set) || slices.Equal(orders[0], orders[1]) {
		t.Errorf("the orders are %v", orders)
	}
}
