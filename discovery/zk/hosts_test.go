package zk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// names is a DNS that can be changed.
type names struct {
	mu    sync.Mutex
	all   map[string][]string
	delay map[string]time.Duration
}

func (n *names) lookup(ctx context.Context, host string) ([]string, error) {
	n.mu.Lock()
	ips, delay := n.all[host], n.delay[host]
	n.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if ips == nil {
		return nil, errors.New("no such host")
	}
	return ips, nil
}

func (n *names) set(host string, ips ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all[host] = ips
}

func newNames() *names {
	return &names{all: make(map[string][]string), delay: make(map[string]time.Duration)}
}

// testHosts returns hosts of the servers, with ZooKeeper's port if they have
// none.
func testHosts(t *testing.T, servers ...string) *hosts {
	t.Helper()
	addrs, err := discovery.ServerAddrs(servers, defaultPort)
	if err != nil {
		t.Fatal(err)
	}
	return newHosts(addrs)
}

// tries returns the next n servers that are tried.
func tries(t *testing.T, h *hosts, n int) []host {
	t.Helper()
	var all []host
	for range n {
		next, err := h.next(t.Context())
		if err != nil && next.err == nil {
			t.Fatal(err)
		}
		all = append(all, next)
	}
	return all
}

func addrsOf(all []host) []string {
	var addrs []string
	for _, h := range all {
		addrs = append(addrs, h.addr)
	}
	slices.Sort(addrs)
	return addrs
}

func TestFailedLookupDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := newNames()
		dns.set("good", "10.0.0.1", "10.0.0.2")
		dns.delay["slow"] = time.Minute
		h := testHosts(t, "bad", "good:1", "slow", "10.0.0.3")
		h.lookup = dns.lookup
		start := time.Now()
		first := tries(t, h, 5)
		if d := time.Since(start); d > 300*time.Millisecond {
			t.Errorf("it took %v", d)
		}
		if got := addrsOf(first[:3]); !slices.Equal(got, []string{"10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:2181"}) {
			t.Errorf("tried first were %v", got)
		}
		for _, f := range first[3:] {
			if f.err == nil || f.addr != "" {
				t.Errorf("tried last was %+v", f)
			}
			h.failed(f, f.err)
		}
		for _, part := range []string{"bad:2181: no such host", "slow:2181: "} {
			if !strings.Contains(h.describeFailures(), part) {
				t.Errorf("the failures are %q, without %q", h.describeFailures(), part)
			}
		}
		h.lookups.Wait()
	})
}

func TestChangedAddressIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := newNames()
		dns.set("a", "10.0.0.1")
		h := testHosts(t, "a:1")
		h.lookup = dns.lookup
		if got := addrsOf(tries(t, h, 1)); got[0] != "10.0.0.1:1" {
			t.Errorf("tried was %v", got)
		}
		dns.set("a", "10.0.0.2")
		if got := addrsOf(tries(t, h, 1)); got[0] != "10.0.0.2:1" {
			t.Errorf("tried was %v", got)
		}
		dns.set("a")
		dns.all["a"] = nil // the name cannot be looked up any more
		if got := addrsOf(tries(t, h, 1)); got[0] != "10.0.0.2:1" {
			t.Errorf("tried was %v", got)
		}
	})
}

// It may hang.
func TestServerThatWasLostIsTriedLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := testHosts(t, "10.0.0.1", "10.0.0.2", "10.0.0.3")
		first := make(map[string]int)
		for range 300 {
			got := tries(t, h, 1)
			h.connected()
			h.remaining = nil // that is how it is after any other number of tries
			round := tries(t, h, 3)
			if round[2].addr != got[0].addr {
				t.Fatalf("%v was lost, and then tried were %v", got, round)
			}
			first[got[0].addr]++
		}
		for addr, n := range first {
			if n < 50 {
				t.Errorf("%s was first %d times of 300", addr, n)
			}
		}
	})
}

func TestPausesBetweenRoundsAreRandomAndUpToASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sum := make([]time.Duration, 10)
		for range 200 {
			h := testHosts(t, "10.0.0.1", "10.0.0.2")
			for i := range sum {
				start := time.Now()
				tries(t, h, 1)
				pause := time.Since(start)
				sum[i] += pause
				if i == 0 && pause > 0 {
					t.Fatalf("a pause of %v before the first try", pause)
				}
				if pause > maxPause {
					t.Fatalf("a pause of %v", pause)
				}
				start = time.Now()
				tries(t, h, 1)
				if d := time.Since(start); d > 0 {
					t.Fatalf("a pause of %v within a round", d)
				}
			}
		}
		for i, want := range map[int]time.Duration{1: 50 * time.Millisecond, 2: 100 * time.Millisecond, 3: 200 * time.Millisecond, 9: 500 * time.Millisecond} {
			if got := sum[i] / 200; got < want*8/10 || got > want*12/10 {
				t.Errorf("the mean pause before round %d is %v, want about %v", i+1, got, want)
			}
		}
		h := testHosts(t, "10.0.0.1")
		tries(t, h, 5)
		h.connected()
		start := time.Now()
		tries(t, h, 1)
		if d := time.Since(start); d > minPause {
			t.Errorf("a pause of %v after a server was reached", d)
		}
	})
}

func TestChoiceOfAServerEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := newNames()
		dns.delay["slow"] = time.Hour
		h := testHosts(t, "slow")
		h.lookup = dns.lookup
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan string)
		go func() {
			next, err := h.next(ctx)
			ended <- fmt.Sprint(next.server, err)
		}()
		synctest.Wait()
		cancel()
		start := time.Now()
		<-ended
		if d := time.Since(start); d > 0 {
			t.Errorf("it took %v", d)
		}
		h.lookups.Wait()
	})
}
