package zk_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	client "github.com/go-zookeeper/zk"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/discovery/zk"
)

// many is how many servers the scale tests register.
const many = 10_000

// addr returns the i-th address of a large set.
func addr(i int) string { return fmt.Sprintf("10.%d.%d.%d:9090", i/62_500, i/250%250, i%250+1) }

// fill makes path with n children as f writes them.
func fill(tb testing.TB, conn *client.Conn, path string, f format.Format, n int) {
	tb.Helper()
	if _, err := conn.Create(path, nil, 0, open()); err != nil {
		tb.Fatal(err)
	}
	var ops []any
	flush := func() {
		if _, err := conn.Multi(ops...); err != nil {
			tb.Fatal(err)
		}
		ops = nil
	}
	for i := range n {
		name, data, err := f.Encode(path, discovery.Endpoint{Addr: addr(i)})
		if err != nil {
			tb.Fatal(err)
		}
		ops = append(ops, &client.CreateRequest{Path: path + "/" + name, Data: data, Acl: open()})
		if len(ops) == 500 {
			flush()
		}
	}
	if len(ops) > 0 {
		flush()
	}
}

// requests counts what a session has asked its server for.
func requests(tb testing.TB, server string, session zk.Session) int {
	tb.Helper()
	for line := range strings.Lines(tell(tb, server, "cons")) {
		if !strings.Contains(line, fmt.Sprintf("sid=0x%x,", session.ID())) {
			continue
		}
		_, rest, _ := strings.Cut(line, "recved=")
		digits, _, _ := strings.Cut(rest, ",")
		n, err := strconv.Atoi(digits)
		if err != nil {
			tb.Fatal(err)
		}
		return n
	}
	tb.Fatalf("session 0x%x is not at %s", session.ID(), server)
	return 0
}

func TestTenThousandServersAreSeenAndOneChangeCostsTwoRequests(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	for _, c := range []struct {
		format format.Format
		within time.Duration
	}{{format.PlainKey(), time.Second}, {format.GRPCNaming(), 6 * time.Second}} {
		t.Run(c.format.Name, func(t *testing.T) {
			path := newRoot(t, conn)
			fill(t, conn, path, c.format, many)
			proxy, addrs := proxies(t, list[0])
			start := time.Now()
			// A ping, every third of the session timeout, is a request too.
			w := begin(t, zk.Watcher(addrs, path, zk.WithFormat(c.format), zk.SessionTimeout(time.Minute)))
			w.until("all", func(eps []discovery.Endpoint) bool { return len(eps) == many })
			d := time.Since(start)
			t.Logf("%d servers after %v, %+v", many, d, proxy[0].Traffic())
			if d > c.within { // many times what it takes, since machines that test are busy
				t.Errorf("it took %v, more than %v", d, c.within)
			}
			if n := len(w.all()); n != 1 {
				t.Errorf("there were %d reports", n)
			}
			session := only(t, addrs[0])
			step := func(what string, most int, change func() error, seen func(eps []discovery.Endpoint) bool) {
				before, traffic := requests(t, list[0], session), proxy[0].Traffic()
				start := time.Now()
				if err := change(); err != nil {
					t.Fatal(err)
				}
				w.until(what, seen)
				d := time.Since(start)
				n := requests(t, list[0], session) - before
				t.Logf("%s: %d requests, %d bytes, %v", what, n, proxy[0].Traffic().FromServer-traffic.FromServer, d)
				if n > most {
					t.Errorf("%s cost %d requests, want at most %d", what, n, most)
				}
			}
			count := func(n int) func([]discovery.Endpoint) bool {
				return func(eps []discovery.Endpoint) bool { return len(eps) == n }
			}
			entry := func(e discovery.Endpoint) (string, []byte) {
				name, data, err := c.format.Encode(path, e)
				if err != nil {
					t.Fatal(err)
				}
				return path + "/" + name, data
			}
			node, data := entry(discovery.Endpoint{Addr: addr(many)})
			step("one more", 2, func() error {
				_, err := conn.Create(node, data, 0, open())
				return err
			}, count(many+1))
			step("one less", 1, func() error { return conn.Delete(node, -1) }, count(many))
			if c.format.NamesOnly {
				return
			}
			node, data = entry(discovery.Endpoint{Addr: addr(many / 2), Weight: 5})
			step("a weight", 1, func() error {
				_, err := conn.Set(node, data, -1)
				return err
			}, func(eps []discovery.Endpoint) bool {
				return slices.ContainsFunc(eps, func(e discovery.Endpoint) bool { return e.Weight == 5 })
			})
		})
	}
}

// The pauses between the rounds of a thousand clients are tested with hosts,
// because so many processes do not fit here.
func TestFastChangesOfALargeSetAreSeenWithFewLists(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	path := newRoot(t, conn)
	fill(t, conn, path, format.PlainKey(), many)
	_, addrs := proxies(t, list[0])
	w := begin(t, zk.Watcher(addrs, path, zk.SessionTimeout(time.Minute)))
	w.until("all", func(eps []discovery.Endpoint) bool { return len(eps) == many })
	session := only(t, addrs[0])
	before, start := requests(t, list[0], session), time.Now()
	const changes = 500
	for i := range changes {
		create(t, conn, path+"/"+addr(many+i), "")
	}
	w.until("all changes", func(eps []discovery.Endpoint) bool { return len(eps) == many+changes })
	d, n := time.Since(start), requests(t, list[0], session)-before
	t.Logf("%d changes in %v: %d lists", changes, d, n)
	if most := int(d/(50*time.Millisecond)) + 3; n > most {
		t.Errorf("%d lists in %v, want at most %d", n, d, most)
	}
}

// BenchmarkSeen is the time from a registration to its report, beside that of
// the bare client: go test -run=^$ -bench=Seen
func BenchmarkSeen(b *testing.B) {
	list := servers(b)
	conn := admin(b, list)
	path := newRoot(b, conn)
	create(b, conn, path, "")
	measure := func(b *testing.B, wait func(n int)) {
		b.Helper()
		var all []time.Duration
		for b.Loop() {
			start := time.Now()
			create(b, conn, path+"/10.0.0.1:1", "")
			wait(1)
			all = append(all, time.Since(start))
			remove(b, conn, path+"/10.0.0.1:1")
			wait(0)
		}
		slices.Sort(all)
		b.ReportMetric(float64(all[len(all)/2].Microseconds()), "us-p50")
		b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "us-p99")
	}
	b.Run("watcher", func(b *testing.B) {
		seen := make(chan int, 16)
		ctx, cancel := context.WithCancel(b.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = zk.Watcher(list[:1], path).Watch(ctx, func(eps []discovery.Endpoint) { seen <- len(eps) })
		}()
		<-seen
		measure(b, func(n int) {
			for got := range seen {
				if got == n {
					return
				}
			}
		})
		cancel()
		<-ended
	})
	b.Run("bare", func(b *testing.B) {
		bare := admin(b, list[:1])
		names, _, changed, err := bare.ChildrenW(path)
		measure(b, func(n int) {
			for err == nil && len(names) != n {
				<-changed
				names, _, changed, err = bare.ChildrenW(path)
			}
			if err != nil {
				b.Fatal(err)
			}
		})
	})
}
