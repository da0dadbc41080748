package util_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/util"
)

// ensemble returns the addresses of a real ZooKeeper ensemble.
func ensemble(tb testing.TB) []string {
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

type quiet struct{}

func (quiet) Printf(string, ...any) {}

func connect(tb testing.TB, ensemble []string) *zk.Conn {
	tb.Helper()
	conn, events, err := zk.Connect(ensemble, 10*time.Second, zk.WithLogger(quiet{}))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		conn.Close()
		for range events { // the channel is closed when the connection has ended
		}
	})
	return conn
}

var nodes atomic.Int64

// newNode creates a node for servers and removes it when the test ends.
func newNode(tb testing.TB, ensemble []string) string {
	tb.Helper()
	conn := connect(tb, ensemble)
	node := fmt.Sprintf("/multipool-util-test-%d-%d", os.Getpid(), nodes.Add(1))
	if _, err := conn.Create(node, nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		children, _, err := conn.Children(node)
		for _, c := range children {
			err = errors.Join(err, conn.Delete(node+"/"+c, -1))
		}
		if err = errors.Join(err, conn.Delete(node, -1)); err != nil {
			tb.Error(err)
		}
	})
	return node
}

// register adds a server as the first version's hello server did: an ephemeral node,
// which exists until the test ends or leave is called.
func register(tb testing.TB, ensemble []string, node, server string) (leave func()) {
	tb.Helper()
	conn := connect(tb, ensemble)
	if _, err := conn.Create(node+"/"+server, nil, zk.FlagEphemeral, zk.WorldACL(zk.PermAll)); err != nil {
		tb.Fatal(err)
	}
	return conn.Close
}

// known waits until the pool's set is exactly servers.
func known(tb testing.TB, p *util.MultiPool, servers ...string) {
	tb.Helper()
	want := map[string]bool{}
	for _, s := range servers {
		want[s] = true
	}
	for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		all := p.Stats().Endpoints
		n := 0
		for _, e := range all {
			if want[e.Endpoint.Addr] {
				n++
			}
		}
		if n == len(want) && len(all) == n {
			return
		}
		if time.Since(begun) > 15*time.Second {
			tb.Fatalf("the pool knows %v, not %v", all, servers)
		}
	}
}

func TestServersThatStayInZooKeeperKeepTheirConnections(t *testing.T) {
	ensemble := ensemble(t)
	node := newNode(t, ensemble)
	stays, leaves, comes := serve(t), serve(t), serve(t)
	register(t, ensemble, node, stays.addr)
	leave := register(t, ensemble, node, leaves.addr)

	p := &util.MultiPool{ZkServers: ensemble, ZkNode: node, ZkSessionTimeout: time.Second, SingleMaxIdleCount: 2, SingleFactory: newFactory}
	if err := p.InitFromZkChildrenNode(); err != nil {
		t.Fatal(err)
	}
	defer stop(t, p)
	known(t, p, stays.addr, leaves.addr)
	before, name, err := p.GetServerConn(stays.addr)
	if err != nil {
		t.Fatal(err)
	}
	put(t, p, before, name)
	leased, leasedName, err := p.GetServerConn(leaves.addr)
	if err != nil {
		t.Fatal(err)
	}

	register(t, ensemble, node, comes.addr)
	known(t, p, stays.addr, leaves.addr, comes.addr)
	leave()
	known(t, p, stays.addr, comes.addr)

	after, name, err := p.GetServerConn(stays.addr)
	if err != nil {
		t.Fatal(err)
	}
	if after != before {
		t.Error("the server that stays has another connection")
	}
	put(t, p, after, name)
	if n := stays.accepted.Load(); n != 1 {
		t.Errorf("%d connections to the server that stays", n)
	}
	if _, err := leased.(*client).Hello("still here"); err != nil {
		t.Errorf("a leased connection to a server that left was closed: %v", err)
	}
	put(t, p, leased, leasedName)
	if _, _, err := p.GetServerConn(leaves.addr); !errors.Is(err, core.ErrNoEndpoint) {
		t.Errorf("Get from the server that left: %v", err)
	}
	callAll(t, p, stays.addr, comes.addr)
}

// The first version panicked here.
func TestGetReturnsAnErrorWhileZooKeeperIsDown(t *testing.T) {
	p := &util.MultiPool{ZkServers: []string{"127.0.0.1:1"}, ZkNode: "/servers", SingleFactory: newFactory, ConnTimeout: 50 * time.Millisecond}
	if err := p.InitFromZkChildrenNode(); err != nil {
		t.Fatal(err)
	}
	defer stop(t, p)
	_, _, err := p.Get()
	if !errors.Is(err, core.ErrNoEndpoint) {
		t.Errorf("Get returned %v", err)
	}
	for _, name := range []string{"127.0.0.1:1", "/servers"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("Get returned %v, which does not name %s", err, name)
		}
	}
}

func TestGetNamesANodeThatIsMissingAndChildrenThatAreNoServers(t *testing.T) {
	ensemble := ensemble(t)
	node := newNode(t, ensemble)
	register(t, ensemble, node, "redis-1")
	register(t, ensemble, node, "10.0.0.1:80-0000000000")
	for path, names := range map[string][]string{
		node:                {node, `"redis-1"`, `"10.0.0.1:80-0000000000"`},
		node + "/not-there": {node + "/not-there", "does not exist"},
	} {
		p := &util.MultiPool{ZkServers: ensemble, ZkNode: path, SingleFactory: newFactory, ConnTimeout: 5 * time.Second}
		if err := p.InitFromZkChildrenNode(); err != nil {
			t.Fatal(err)
		}
		defer stop(t, p)
		_, _, err := p.Get()
		if !errors.Is(err, core.ErrNoEndpoint) {
			t.Errorf("Get returned %v", err)
			continue
		}
		for _, name := range names {
			if !strings.Contains(err.Error(), name) {
				t.Errorf("Get returned %v, which does not say %s", err, name)
			}
		}
	}
}
