package zk_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/discovery/zk"
)

// filled makes a path with servers a and b and returns it.
func filled(t *testing.T, list []string) (path string, add, del func(addr string)) {
	t.Helper()
	conn := admin(t, list)
	path = newRoot(t, conn)
	create(t, conn, path, "")
	add = func(addr string) { create(t, conn, path+"/"+addr, addr) }
	del = func(addr string) { remove(t, conn, path+"/"+addr) }
	add("10.0.0.1:1")
	add("10.0.0.2:1")
	return path, add, del
}

// only returns the one session with a server.
func only(t *testing.T, server string) zk.Session {
	t.Helper()
	all := zk.Sessions(server)
	if len(all) != 1 {
		t.Fatalf("there are %d sessions", len(all))
	}
	return all[0]
}

func TestWatchersAndRegistrarsOfAnEnsembleShareOneSession(t *testing.T) {
	list := servers(t)
	path, _, _ := filled(t, list)
	proxy, addrs := proxies(t, list[0])
	var all []*watch
	for i := range 3 {
		w := begin(t, zk.Watcher(addrs, path))
		w.await("10.0.0.1:1", "10.0.0.2:1")
		all = append(all, w)
		begin(t, zk.Watcher(addrs, fmt.Sprint(path, "/none", i))).await()
	}
	g, err := discovery.Register(zk.Registrar(addrs, path), discovery.Endpoint{Addr: "10.0.0.3:1"})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close(t.Context())
	for _, w := range all {
		w.await("10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1")
	}
	if n := proxy[0].Traffic().Connections; n != 1 {
		t.Errorf("there were %d connections", n)
	}
	// Another session timeout, or user, is another session.
	begin(t, zk.Watcher(addrs, path, zk.SessionTimeout(20*time.Second))).await("10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1")
	begin(t, zk.Watcher(addrs, path, zk.WithCredentials(discovery.NewSecret("a:b")))).await("10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1")
	if n := proxy[0].Traffic().Connections; n != 3 {
		t.Errorf("there were %d connections", n)
	}
}

func TestLastUserEndsTheSession(t *testing.T) {
	list := servers(t)
	path, _, _ := filled(t, list)
	proxy, addrs := proxies(t, list[0])
	before := runtime.NumGoroutine()
	a := begin(t, zk.Watcher(addrs, path))
	a.await("10.0.0.1:1", "10.0.0.2:1")
	id := fmt.Sprintf("0x%x", only(t, addrs[0]).ID())
	b := begin(t, zk.Watcher(addrs, path))
	b.await("10.0.0.1:1", "10.0.0.2:1")
	a.stop()
	if !strings.Contains(tell(t, list[0], "cons"), id) {
		t.Errorf("session %s is gone although it has a user", id)
	}
	b.stop()
	if strings.Contains(tell(t, list[0], "cons"), id) {
		t.Errorf("session %s is there although it has no users", id)
	}
	poll(t, "connections to be closed", func() bool { return proxy[0].Traffic().Open == 0 })
	poll(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
}

func TestWatchesThatEndedLeaveNothingAtASharedSession(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	path, add, del := filled(t, list)
	proxy, addrs := proxies(t, list[0])
	minute := zk.SessionTimeout(time.Minute) // no pings
	data := zk.WithFormat(format.PlainValue())
	otherPath := newRoot(t, conn)
	create(t, conn, otherPath, "")
	other := begin(t, zk.Watcher(addrs, otherPath, minute, data))
	other.await()
	session := only(t, addrs[0])
	for i := range 100 {
		w := zk.Watcher(addrs, path, minute)
		if i%2 == 0 {
			w = zk.Watcher(addrs, path, minute, data)
		}
		if i%5 == 4 { // ended on the way
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*20*time.Microsecond)
			_ = w.Watch(ctx, func([]discovery.Endpoint) {})
			cancel()
			continue
		}
		s := begin(t, w)
		s.await("10.0.0.1:1", "10.0.0.2:1")
		s.stop()
	}
	poll(t, "the watches to go", func() bool {
		return session.Watches(path) == 0 && !strings.Contains(tell(t, list[0], "wchc"), path)
	})
	// No command reports the watches on children, but servers send what has
	// changed. So bytes are counted for the same change with and without one
	// at the path that is not watched any more.
	cost := func(change func(), n int) int64 {
		before := proxy[0].Traffic().FromServer
		change()
		create(t, conn, fmt.Sprintf("%s/%d", otherPath, n), fmt.Sprintf("10.0.1.%d:1", n))
		other.until("the next", func(eps []discovery.Endpoint) bool { return len(eps) == n })
		return proxy[0].Traffic().FromServer - before
	}
	cost(func() {}, 1)
	first := cost(func() {}, 2)
	second := cost(func() {
		add("10.0.0.3:1")
		del("10.0.0.3:1")
		if _, err := conn.Set(path+"/10.0.0.1:1", []byte("10.0.0.1:1"), -1); err != nil {
			t.Fatal(err)
		}
	}, 3)
	if perName := int64(len("3") + 4); second != first+perName {
		t.Errorf("%d bytes came from the server, want %d: something is still watched", second, first+perName)
	}
}

func TestEndOfAWatchTakesNothingFromOthersOfItsPath(t *testing.T) {
	list := servers(t)
	path, add, _ := filled(t, list)
	a, b := begin(t, zk.Watcher(list, path, zk.WithFormat(format.PlainValue()))), begin(t, zk.Watcher(list, path))
	a.await("10.0.0.1:1", "10.0.0.2:1")
	b.await("10.0.0.1:1", "10.0.0.2:1")
	for i := range 20 {
		c := begin(t, zk.Watcher(list, path, zk.WithFormat(format.PlainValue())))
		c.until("its first report", func(eps []discovery.Endpoint) bool { return len(eps) == 2+i })
		c.stop()
		add(fmt.Sprintf("10.0.1.%d:1", i))
		for _, w := range []*watch{a, b} {
			w.until("the next", func(eps []discovery.Endpoint) bool { return len(eps) == 3+i })
		}
	}
}

// An ensemble that was restored from a backup accepts no session that has seen
// later changes.
func TestSessionAheadOfItsEnsembleIsGivenUp(t *testing.T) {
	list := servers(t)
	path, add, _ := filled(t, list)
	proxy, addrs := proxies(t, list[0])
	w := begin(t, zk.Watcher(addrs, path))
	w.await("10.0.0.1:1", "10.0.0.2:1")
	stays, cancel := context.WithCancel(t.Context()) // keeps the session in use all the time
	defer cancel()
	go func() {
		for stays.Err() == nil {
			_ = zk.Watcher(addrs, path).Watch(stays, func([]discovery.Endpoint) {})
		}
	}()
	poll(t, "the other", func() bool { return only(t, addrs[0]).Users() == 2 })
	add("10.0.0.3:1")
	w.await("10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1")
	proxy[0].Cut()
	only(t, addrs[0]).Ahead()
	if err := proxy[0].Heal(); err != nil {
		t.Fatal(err)
	}
	if err := w.fails(); !strings.Contains(err.Error(), "closed the connection") {
		t.Errorf("Watch ended with %v", err)
	}
	w = begin(t, zk.Watcher(addrs, path))
	w.await("10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1")
}

func TestChangesAreSeenAfterTheSessionHasExpired(t *testing.T) {
	for _, f := range []format.Format{format.PlainKey(), format.PlainValue()} {
		t.Run(f.Name, func(t *testing.T) {
			list := servers(t)
			conn := admin(t, list)
			path, add, del := filled(t, list)
			proxy, addrs := proxies(t, list[0])
			w := begin(t, zk.Watcher(addrs, path, zk.WithFormat(f)))
			w.await("10.0.0.1:1", "10.0.0.2:1")
			second := "10.0.0.2:1"
			change := func(to string) { // in place, where there is data
				if f.NamesOnly {
					return
				}
				if _, err := conn.Set(path+"/10.0.0.2:1", []byte(to), -1); err != nil {
					t.Fatal(err)
				}
				second = to
			}
			files := openFiles(t)
			for i := range 5 {
				session := only(t, addrs[0])
				id := session.ID()
				proxy[0].Cut()
				if err := session.Expire(list[len(list)-1], true); err != nil {
					t.Fatal(err)
				}
				now := fmt.Sprintf("10.0.1.%d:1", i)
				add(now)
				change(fmt.Sprintf("10.0.2.%d:1", i))
				if err := proxy[0].Heal(); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				w.await("10.0.0.1:1", second, now)
				d := time.Since(start)
				t.Logf("seen %v after the registry was back", d.Round(time.Millisecond))
				if d > 1500*time.Millisecond {
					t.Errorf("it took %v", d)
				}
				if session.ID() == id {
					t.Error("the session had not expired")
				}
				del(now)
				w.await("10.0.0.1:1", second)
				change(fmt.Sprintf("10.0.3.%d:1", i))
				w.await("10.0.0.1:1", second)
			}
			for _, eps := range w.all() {
				if len(eps) < 2 {
					t.Errorf("reported were %v", w.all())
				}
			}
			// The client leaves the connection open on which it learns of the
			// expiry.
			poll(t, "files to be closed", func() bool { return openFiles(t) <= files })
		})
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(files)
}

// The connection is lost and made again within the session. The watcher sees
// what has changed meanwhile and requests nothing else.
func TestShortLossOfTheConnectionCostsNoList(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	path := newRoot(t, conn)
	const n = 1000
	fill(t, conn, path, format.GRPCNaming(), n)
	proxy, addrs := proxies(t, list[0])
	w := begin(t, zk.Watcher(addrs, path, zk.WithFormat(format.GRPCNaming())))
	w.until("all", func(eps []discovery.Endpoint) bool { return len(eps) == n })
	for i := range 3 {
		id := only(t, addrs[0]).ID()
		before := proxy[0].Traffic()
		proxy[0].Cut()
		name, data, err := format.GRPCNaming().Encode(path, discovery.Endpoint{Addr: addr(i), Weight: 7})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Set(path+"/"+name, data, -1); err != nil {
			t.Fatal(err)
		}
		if err := proxy[0].Heal(); err != nil {
			t.Fatal(err)
		}
		w.until("the change", func(eps []discovery.Endpoint) bool {
			heavy := 0
			for _, e := range eps {
				if e.Weight == 7 {
					heavy++
				}
			}
			return len(eps) == n && heavy == i+1
		})
		if only(t, addrs[0]).ID() != id {
			t.Error("it was another session")
		}
		if got := proxy[0].Traffic().FromServer - before.FromServer; got > 1000 {
			t.Errorf("%d bytes were read after a short loss", got)
		}
	}
}

// A quiet connection is a healthy one: a later loss begins a new outage.
func TestLossesFarApartAreNotOneOutage(t *testing.T) {
	list := servers(t)
	path, add, _ := filled(t, list)
	proxy, addrs := proxies(t, list[0])
	minute := zk.SessionTimeout(time.Minute) // no check of the list in between
	w := begin(t, zk.Watcher(addrs, path, minute))
	w.await("10.0.0.1:1", "10.0.0.2:1")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- zk.Registrar(addrs, path, minute).Register(ctx, self, func() {}) }()
	w.await("10.0.0.1:1", "10.0.0.2:1", self.Addr)
	for i := range 2 {
		proxy[0].Break()
		poll(t, "the next connection", func() bool { return proxy[0].Traffic().Connections == int64(2+i) })
		<-time.After(discovery.RetryWindow + time.Second) // in which nothing happens
		select {
		case err := <-ended:
			t.Fatalf("Register ended with %v after loss %d", err, i+1)
		case <-w.ended:
			t.Fatalf("Watch ended with %v after loss %d", w.err, i+1)
		default:
		}
	}
	add("10.0.0.3:1")
	w.await("10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1", self.Addr)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Register ended with %v", err)
	}
	w.await("10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1")
}

func TestLongLossOfTheEnsembleIsAnErrorThatNamesEachFailure(t *testing.T) {
	list := servers(t)
	path, _, _ := filled(t, list)
	proxy, addrs := proxies(t, list[0])
	addrs = append(addrs, "no-such-host.invalid:2181")
	w := begin(t, zk.Watcher(addrs, path))
	w.await("10.0.0.1:1", "10.0.0.2:1")
	proxy[0].Cut()
	start := time.Now()
	err := w.fails()
	if d := time.Since(start); d < 9*time.Second || d > 11*time.Second {
		t.Errorf("it took %v", d)
	}
	for _, part := range []string{path, addrs[0] + ": ", "connection refused", addrs[1] + ": ", "no such host"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error is %v, without %q", err, part)
		}
	}
	if len(zk.Sessions(addrs[0])) != 0 {
		t.Error("the session is still there")
	}
	if len(w.all()) != 1 {
		t.Errorf("reported were %v", w.all())
	}
}

func TestHungServerAmongThreeIsLeftWithinTheSessionTimeout(t *testing.T) {
	list := servers(t)
	for len(list) < 3 { // a server can be reached in several ways
		list = append(list, list[0])
	}
	path, add, _ := filled(t, list)
	const limit = 3 * time.Second
	t.Run("when it is connected", func(t *testing.T) {
		proxy, addrs := proxies(t, list...)
		w := begin(t, zk.Watcher(addrs, path, zk.SessionTimeout(limit)))
		w.await("10.0.0.1:1", "10.0.0.2:1")
		id := only(t, addrs[0]).ID()
		for _, p := range proxy {
			if p.Traffic().Open > 0 {
				if err := p.Hang(); err != nil {
					t.Fatal(err)
				}
			}
		}
		start := time.Now()
		add("10.0.0.3:1")
		w.await("10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1")
		if d := time.Since(start); d > limit {
			t.Errorf("it took %v", d)
		}
		if only(t, addrs[0]).ID() != id {
			t.Error("the session was lost")
		}
	})
	t.Run("when it is tried first", func(t *testing.T) {
		for range 5 { // the order is random
			proxy, addrs := proxies(t, list...)
			if err := errors.Join(proxy[0].Hang(), proxy[1].Hang()); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			w := begin(t, zk.Watcher(addrs, path, zk.SessionTimeout(limit)))
			w.await("10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1")
			if d := time.Since(start); d > limit {
				t.Errorf("it took %v", d)
			}
			w.stop()
		}
	})
}

func TestWatchThatIsEndedWithoutAnEnsembleLeavesNothing(t *testing.T) {
	list := servers(t)
	for name, fault := range map[string]func(*discoverytest.Proxy) error{
		"cut":  func(p *discoverytest.Proxy) error { p.Cut(); return nil },
		"hung": (*discoverytest.Proxy).Hang,
	} {
		t.Run(name, func(t *testing.T) {
			proxy, addrs := proxies(t, list[0])
			before := runtime.NumGoroutine()
			for i := range 10 {
				if err := proxy[0].Heal(); err != nil {
					t.Fatal(err)
				}
				w := begin(t, zk.Watcher(addrs, newPath()))
				if i%2 == 0 {
					w.await()
				}
				if err := fault(proxy[0]); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Duration(i) * 30 * time.Millisecond) // at different moments
				w.stop()
			}
			proxy[0].Break()
			poll(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
		})
	}
}

// encrypted returns a server that speaks TLS in front of another, and its
// certificate.
func encrypted(t *testing.T, server string) (addr string, ca []byte) {
	t.Helper()
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	cert.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: cert.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	var links sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		links.Wait()
	})
	links.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			links.Go(func() {
				defer c.Close()
				s, err := net.Dial("tcp", server)
				if err != nil {
					return
				}
				links.Go(func() {
					defer s.Close()
					_, _ = io.Copy(s, c)
				})
				_, _ = io.Copy(c, s)
			})
		}
	})
	return l.Addr().String(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate().Raw})
}

func TestTLSOfURLsAndOptionsEncryptsConnections(t *testing.T) {
	list := servers(t)
	path, add, _ := filled(t, list)
	addr, ca := encrypted(t, list[0])
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := mux().Open("zk://" + addr + path + "?tls=true&tls_server_name=example.com&tls_ca=" + file)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	all := []*watch{
		begin(t, w),
		begin(t, zk.Watcher([]string{addr}, path, zk.WithTLS(discovery.TLS{Config: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}))), // it is for 127.0.0.1 too
	}
	for _, w := range all {
		w.await("10.0.0.1:1", "10.0.0.2:1")
	}
	add("10.0.0.3:1")
	for _, w := range all {
		w.await("10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1")
		w.stop()
	}
	// The system does not trust the authority.
	stranger := begin(t, zk.Watcher([]string{addr}, path, zk.WithTLS(discovery.TLS{Config: &tls.Config{MinVersion: tls.VersionTLS12}})))
	if err := stranger.fails(); !strings.Contains(err.Error(), "certificate") {
		t.Errorf("Watch ended with %v", err)
	}
}

func TestNothingIsLogged(t *testing.T) {
	list := servers(t)
	var out bytes.Buffer
	log.SetOutput(&out)
	defer log.SetOutput(os.Stderr)
	path, _, _ := filled(t, list)
	proxy, addrs := proxies(t, list[0])
	w := begin(t, zk.Watcher(append(addrs, "no-such-host.invalid"), path, zk.WithCredentials(discovery.NewSecret("alice:secret")), zk.AllowPlaintextCredentials()))
	w.await("10.0.0.1:1", "10.0.0.2:1")
	proxy[0].Break()
	w.stop()
	if out.Len() > 0 {
		t.Errorf("logged was %s", out.String())
	}
}
