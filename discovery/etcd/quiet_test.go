package etcd_test

import (
	"bufio"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/etcd"
)

// counted returns what a server has counted of a method's calls, such as
// "grpc_server_started_total" of "Range".
func counted(t *testing.T, addr, counter, method string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	total := 0.
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), "} ")
		if strings.HasPrefix(name, counter+"{") && strings.Contains(name, `grpc_method="`+method+`"`) {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			total += n
		}
	}
	return int(total)
}

const started = "grpc_server_started_total"

// quiet waits until the watch has requested several signs of life from the
// server, each within no less than the timeout.
func quiet(t *testing.T, addr string) {
	t.Helper()
	const counter = "grpc_server_msg_received_total"
	late := time.After(timeout)
	for begin := counted(t, addr, counter, "Watch"); counted(t, addr, counter, "Watch") < begin+12; {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-late:
			t.Fatalf("no signs of life are requested: %d requests in %v", counted(t, addr, counter, "Watch")-begin, timeout)
		}
	}
}

// TestQuietClusterSeesOneListAndOneStream counts at the server. Nothing is
// written after the registration: the revision stays below the start of the
// watches.
func TestQuietClusterSeesOneListAndOneStream(t *testing.T) {
	c := startCluster(t, 1)
	server := c.addrs()[0]
	put(t, raw(t, c.addrs()), "/x/a", entry("10.0.0.9:80"))
	lists, streams := counted(t, server, started, "Range"), counted(t, server, started, "Watch")
	const often = 300 * time.Millisecond
	register(t, etcd.Registrar(c.addrs(), "/x/", etcd.Timeout(often)))
	f := discoverytest.Follow(t, etcd.Watcher(c.addrs(), "/x/", etcd.Timeout(often)))
	f.Await("10.0.0.9:80", addr)
	puts := counted(t, server, started, "Put")
	quiet(t, server)
	if n := counted(t, server, started, "Range") - lists; n != 1 {
		t.Errorf("%d lists, want 1", n)
	}
	if n := counted(t, server, started, "Watch") - streams; n != 1 {
		t.Errorf("%d streams, want 1 for the watch and the registration", n)
	}
	if n := counted(t, server, started, "Put") + counted(t, server, started, "Txn") - puts; n != 0 {
		t.Errorf("the key was put %d times more", n)
	}
	f.Stop()
}

// startGRPCProxy starts etcd's gRPC proxy in front of the cluster.
func startGRPCProxy(t *testing.T, c *cluster) (addr string) {
	t.Helper()
	addr = freeAddr(t)
	proxy := exec.Command(c.members[0].flags[0], "grpc-proxy", "start", "--endpoints", strings.Join(c.addrs(), ","), "--listen-addr", addr)
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = proxy.Process.Kill()
		_ = proxy.Wait()
	})
	return addr
}

// TestWatchAndRegistrationBehindTheGRPCProxyStay has two watches of the same
// keys, to the second of which the proxy confirms what it has asked etcd for
// the first.
func TestWatchAndRegistrationBehindTheGRPCProxyStay(t *testing.T) {
	c := startCluster(t, 1)
	server, db := c.addrs()[0], raw(t, c.addrs())
	proxy := []string{startGRPCProxy(t, c)}
	const often = 300 * time.Millisecond
	register(t, etcd.Registrar(proxy, "/x/", etcd.Timeout(often)))
	f := discoverytest.Follow(t, etcd.Watcher(proxy, "/x/", etcd.Timeout(often)))
	f.Await(addr)
	f2 := discoverytest.Follow(t, etcd.Watcher(proxy, "/x/", etcd.Timeout(often+time.Millisecond)))
	f2.Await(addr)
	version := kv(t, db, "/x/"+addr).Version
	reports, grants := f.Count()+f2.Count(), counted(t, server, started, "LeaseGrant")
	quiet(t, server)
	if n := f.Count() + f2.Count() - reports; n != 0 {
		t.Errorf("%d more reports: the keys were listed again", n)
	}
	if now := kv(t, db, "/x/"+addr).Version; now != version {
		t.Errorf("the key was put %d times more", now-version)
	}
	if n := counted(t, server, started, "LeaseGrant") - grants; n != 0 {
		t.Errorf("%d more leases", n)
	}
	put(t, db, "/x/b", entry("10.0.0.2:80"))
	f.Await(addr, "10.0.0.2:80")
	f2.Await(addr, "10.0.0.2:80")
}

// TestManyWatchesAndRegistrationsFitIntoFewStreams has a server that allows
// fewer calls on a connection than there are users of it.
func TestManyWatchesAndRegistrationsFitIntoFewStreams(t *testing.T) {
	c := startCluster(t, 1, "--max-concurrent-streams", "20")
	const n = 60
	var want []string
	var all []*discovery.Registration
	for i := range n {
		addr := "10.0.0." + strconv.Itoa(i) + ":80"
		want = append(want, addr)
		g, err := discovery.Register(etcd.Registrar(c.addrs(), "/x/", etcd.TTL(5*time.Second)), discovery.Endpoint{Addr: addr})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, g)
	}
	defer func() {
		for _, g := range all {
			if err := g.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}()
	for range n {
		discoverytest.Follow(t, etcd.Watcher(c.addrs(), "/x/")).Await(want...)
	}
	// Each is renewed and watched, which takes place within a TTL.
	db := raw(t, c.addrs())
	for _, addr := range want {
		remove(t, db, "/x/"+addr)
	}
	discoverytest.Follow(t, etcd.Watcher(c.addrs(), "/x/")).Await(want...)
	for _, g := range all {
		if state, err := g.State(); state != discovery.StateRegistered {
			t.Errorf("%v: %v", state, err)
		}
	}
}
