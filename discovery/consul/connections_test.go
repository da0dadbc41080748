package consul_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/consul"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
)

// counter is in front of an agent and counts what it is asked and over how many
// connections.
type counter struct {
	addr string

	mu         sync.Mutex
	open, most int            // connections
	requests   map[string]int // by path
}

func newCounter(t *testing.T, agent string) *counter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &counter{addr: l.Addr().String(), requests: make(map[string]int)}
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { c.serve(ctx, conn, agent) })
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
		all.Wait()
	})
	return c
}

// serve passes one connection on to the agent.
func (c *counter) serve(ctx context.Context, client net.Conn, agent string) {
	c.add(1)
	defer c.add(-1)
	defer client.Close()
	server, err := net.Dial("tcp", agent)
	if err != nil {
		return
	}
	defer server.Close()
	defer context.AfterFunc(ctx, func() { _ = client.Close() })()
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(client, server)
		_ = client.Close()
	})
	requests := bufio.NewReader(client)
	for {
		r, err := http.ReadRequest(requests)
		if err != nil {
			break
		}
		c.mu.Lock()
		c.requests[r.URL.Path]++
		c.mu.Unlock()
		if r.Write(server) != nil {
			break
		}
	}
	_ = server.Close()
	back.Wait()
}

func (c *counter) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open += n
	c.most = max(c.most, c.open)
}

func (c *counter) asked(path string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests[path]
}

// TestWatchesNeedOneConnectionEachAndOneQuestionForTheLeader watches more
// services than an agent has connections for, if each takes two. An agent
// allows 200 to all programs of a host.
func TestWatchesNeedOneConnectionEachAndOneQuestionForTheLeader(t *testing.T) {
	const watches, limit = 120, 200
	const interval = 2 * time.Second
	agent := startConsul(t, "-dev", fmt.Sprintf("-hcl=limits { http_max_conns_per_client = %d }", limit))
	agent.ready()
	c := newCounter(t, agent.addr)
	begin := time.Now()
	for i := range watches {
		f := discoverytest.Follow(t, consul.Watcher([]string{c.addr}, fmt.Sprint("echo", i), consul.Timeout(interval)))
		if i == watches-1 {
			f.Await()
		}
	}
	const leader = "/v1/status/leader"
	eventually(t, "three questions for the leader", func() bool { return c.asked(leader) >= 3 })
	if asked, most := c.asked(leader), int(time.Since(begin)/interval)+1; asked > most {
		t.Errorf("%d questions for the leader in %v, want %d at most", asked, time.Since(begin), most)
	}
	c.mu.Lock()
	if c.most > watches+8 { // one is shared, and the end of some may not have been seen yet
		t.Errorf("%d watches have up to %d connections", watches, c.most)
	}
	c.mu.Unlock()
	for i := range 10 { // a program that keeps its connections to itself
		config := api.DefaultConfig()
		config.Address = agent.addr
		other, err := api.NewClient(config)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.Status().Leader(); err != nil {
			t.Errorf("request %d of another program: %v", i, err)
		}
		t.Cleanup(config.Transport.CloseIdleConnections)
	}
}

// TestRegistrationsNeedOneConnectionEachAndAFewInAll is the same for servers.
func TestRegistrationsNeedOneConnectionEachAndAFewInAll(t *testing.T) {
	const registrations = 40
	agent := startConsul(t, "-dev")
	agent.ready()
	c := newCounter(t, agent.addr)
	r := consul.Registrar([]string{c.addr}, "echo", consul.TTL(2*time.Second))
	for i := range registrations {
		g, err := discovery.Register(r, discovery.Endpoint{Addr: fmt.Sprintf("10.0.0.1:%d", i+1)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = g.Close(context.Background()) })
	}
	f := discoverytest.Follow(t, consul.Watcher([]string{agent.addr}, "echo"))
	f.AwaitLen(registrations)
	update := "/v1/agent/check/update/service:echo-10.0.0.1:1"
	eventually(t, "some updates of checks", func() bool { return c.asked(update) >= 4 })
	f.AwaitLen(registrations)
	c.mu.Lock()
	defer c.mu.Unlock()
	// Eight are shared, and the end of as many may not have been seen yet.
	if most := registrations + 16; c.most > most {
		t.Errorf("%d registrations have up to %d connections, want %d at most", registrations, c.most, most)
	}
}
