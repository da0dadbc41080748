package zk_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	client "github.com/go-zookeeper/zk"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
)

const (
	// timeout is how long a test waits for anything.
	timeout = 15 * time.Second
	// promptly is how long a test waits for what an event of the server reports.
	// It is shorter than a session timeout, after which a watcher would look by
	// itself.
	promptly = 8 * time.Second
)

// open is the access that the tests give to what they make.
func open() []client.ACL { return client.WorldACL(client.PermAll) }

// servers returns the real servers to test with.
func servers(tb testing.TB) []string {
	tb.Helper()
	list := os.Getenv("ZOOKEEPER_SERVERS")
	if list == "" {
		const missing = "ZOOKEEPER_SERVERS is not set: host:port,... of a ZooKeeper to test with"
		if os.Getenv("REQUIRE_REGISTRIES") == "1" {
			tb.Fatal(missing)
		}
		tb.Skip(missing)
	}
	return strings.Split(list, ",")
}

// proxies returns a proxy in front of each server, and their addresses.
func proxies(tb testing.TB, servers ...string) (all []*discoverytest.Proxy, addrs []string) {
	tb.Helper()
	for _, s := range servers {
		p, err := discoverytest.NewProxy(s)
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = p.Close() })
		all = append(all, p)
		addrs = append(addrs, p.Addr())
	}
	return all, addrs
}

// admin is the tests' own way into the ensemble.
func admin(tb testing.TB, servers []string) *client.Conn {
	tb.Helper()
	conn, events, err := client.Connect(servers, 30*time.Second, client.WithLogger(quiet{}))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		conn.Close()
		for range events { // until it has ended
		}
	})
	return conn
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}

var roots atomic.Int64

// newPath returns a path that nothing else uses.
func newPath() string { return fmt.Sprintf("/multipool-test-%d-%d", os.Getpid(), roots.Add(1)) }

// newRoot returns such a path, which is removed at the end.
func newRoot(tb testing.TB, conn *client.Conn) string {
	tb.Helper()
	root := newPath()
	tb.Cleanup(func() {
		if err := removeTree(conn, root); err != nil {
			tb.Error(err)
		}
	})
	return root
}

func removeTree(conn *client.Conn, path string) error {
	children, _, err := conn.Children(path)
	if errors.Is(err, client.ErrNoNode) {
		return nil
	}
	if err != nil {
		return err
	}
	for some := range slices.Chunk(children, 500) {
		var ops []any
		for _, c := range some {
			ops = append(ops, &client.DeleteRequest{Path: path + "/" + c, Version: -1})
		}
		if _, err := conn.Multi(ops...); err == nil {
			continue
		}
		for _, c := range some { // one of them is gone, or has children
			if err := removeTree(conn, path+"/"+c); err != nil {
				return err
			}
		}
	}
	if err := conn.Delete(path, -1); !errors.Is(err, client.ErrNoNode) {
		return err
	}
	return nil
}

// create makes a node.
func create(tb testing.TB, conn *client.Conn, path, data string) {
	tb.Helper()
	if _, err := conn.Create(path, []byte(data), 0, open()); err != nil {
		tb.Fatalf("creating %s: %v", path, err)
	}
}

// remove removes a node.
func remove(tb testing.TB, conn *client.Conn, path string) {
	tb.Helper()
	if err := conn.Delete(path, -1); err != nil {
		tb.Fatalf("deleting %s: %v", path, err)
	}
}

// watch is a Watch under way, and what it has reported.
type watch struct {
	t      testing.TB
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // once it has ended

	mu      sync.Mutex
	reports [][]discovery.Endpoint
	news    chan struct{}
}

// begin begins a Watch, which ends with the test.
func begin(tb testing.TB, w discovery.Watcher) *watch {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	s := &watch{t: tb, cancel: cancel, ended: make(chan struct{}), news: make(chan struct{}, 1)}
	go func() {
		defer close(s.ended)
		s.err = w.Watch(ctx, s.report)
	}()
	tb.Cleanup(s.stop)
	return s
}

func (s *watch) report(eps []discovery.Endpoint) {
	s.mu.Lock()
	s.reports = append(s.reports, eps)
	s.mu.Unlock()
	select {
	case s.news <- struct{}{}:
	default:
	}
}

func (s *watch) all() [][]discovery.Endpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.reports)
}

// until waits for a report after which ok holds of the last one.
func (s *watch) until(what string, ok func(eps []discovery.Endpoint) bool) {
	s.t.Helper()
	late := time.NewTimer(promptly)
	defer late.Stop()
	for {
		if all := s.all(); len(all) > 0 && ok(all[len(all)-1]) {
			return
		}
		select {
		case <-s.news:
		case <-s.ended:
			s.t.Fatalf("Watch ended with %v while waiting for %s", s.err, what)
		case <-late.C:
			s.t.Fatalf("waited %v for %s; reported were %v", promptly, what, s.all())
		}
	}
}

// await waits for a set with these addresses.
func (s *watch) await(addrs ...string) {
	s.t.Helper()
	slices.Sort(addrs)
	s.until(fmt.Sprint(addrs), func(eps []discovery.Endpoint) bool { return slices.Equal(addresses(eps), addrs) })
}

// fails waits for the end of the Watch and returns its error.
func (s *watch) fails() error {
	s.t.Helper()
	select {
	case <-s.ended:
		return s.err
	case <-time.After(timeout):
		s.t.Fatalf("waited %v for Watch to fail; reported were %v", timeout, s.all())
		return nil
	}
}

// stop ends the Watch, which has a second for it.
func (s *watch) stop() {
	s.t.Helper()
	s.cancel()
	select {
	case <-s.ended:
	case <-time.After(time.Second):
		s.t.Errorf("Watch had not returned a second after its context ended")
	}
}

func addresses(eps []discovery.Endpoint) []string {
	addrs := make([]string, 0, len(eps))
	for _, e := range eps {
		addrs = append(addrs, e.Addr)
	}
	slices.Sort(addrs)
	return addrs
}

// poll waits for what sends no event.
func poll(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for start := time.Now(); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > timeout {
			tb.Fatalf("waited %v for %s", timeout, what)
		}
	}
}

// tell asks a server with one of the four-letter commands.
func tell(tb testing.TB, server, command string) string {
	tb.Helper()
	c, err := net.DialTimeout("tcp", server, 5*time.Second)
	if err != nil {
		tb.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(command)); err != nil {
		tb.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		tb.Fatal(err)
	}
	if strings.Contains(string(answer), "not in the whitelist") {
		tb.Skipf("the server does not allow the command %s", command)
	}
	return string(answer)
}
