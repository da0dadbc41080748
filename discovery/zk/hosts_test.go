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

func TestNameThatCannotBeLookedUpHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := newNames()
		dns.set("good", "10.0.0.1", "10.0.0.2")
		dns.delay["slow"] = time.Minute
		h := newHosts([]string{"bad", "good:1", "slow", "10.0.0.3"})
		h.lookup = dns.lookup
		begun := time.Now()
		first := tries(t, h, 5)
		if d := time.Since(begun); d > 300*time.Millisecond {
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
			if !strings.Contains(h.trouble(), part) {
				t.Errorf("the trouble is %q, without %q", h.trouble(), part)
			}
		}
		h.lookups.Wait()
	})
}

func TestAddressThatHasChangedIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := newNames()
		dns.set("a", "10.0.0.1")
		h := newHosts([]string{"a:1"})
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

// Should it hang, it would be the one to be tried last.
func TestServerThatWasLostIsTriedLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosts([]string{"10.0.0.1", "10.0.0.2", "10.0.0.3"})
		first := make(map[string]int)
		for range 300 {
			got := tries(t, h, 1)
			h.reached()
			h.left = nil // that is how it is after any other number of tries
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

func TestRoundsAreApartByRandomPausesOfUpToASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sum := make([]time.Duration, 10)
		for range 200 {
			h := newHosts([]string{"10.0.0.1", "10.0.0.2"})
			for i := range sum {
				begun := time.Now()
				tries(t, h, 1)
				pause := time.Since(begun)
				sum[i] += pause
				if i == 0 && pause > 0 {
					t.Fatalf("a pause of %v before the first try", pause)
				}
				if pause > longestPause {
					t.Fatalf("a pause of %v", pause)
				}
				begun = time.Now()
				tries(t, h, 1)
				if d := time.Since(begun); d > 0 {
					t.Fatalf("a pause of %v within a round", d)
				}
			}
		}
		for i, want := range map[int]time.Duration{1: 50 * time.Millisecond, 2: 100 * time.Millisecond, 3: 200 * time.Millisecond, 9: 500 * time.Millisecond} {
			if got := sum[i] / 200; got < want*8/10 || got > want*12/10 {
				t.Errorf("the mean pause before round %d is %v, want about %v", i+1, got, want)
			}
		}
		h := newHosts([]string{"10.0.0.1"})
		tries(t, h, 5)
		h.reached()
		begun := time.Now()
		tries(t, h, 1)
		if d := time.Since(begun); d > firstPause {
			t.Errorf("a pause of %v after a server was reached", d)
		}
	})
}

func TestSearchForAServerEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := newNames()
		dns.delay["slow"] = time.Hour
		h := newHosts([]string{"slow"})
		h.lookup = dns.lookup
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan string)
		go func() {
			next, err := h.next(ctx)
			ended <- fmt.Sprint(next.server, err)
		}()
		synctest.Wait()
		cancel()
		begun := time.Now()
		<-ended
		if d := time.Since(begun); d > 0 {
			t.Errorf("it took %v", d)
		}
		h.lookups.Wait()
	})
}
