package etcd_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/etcd"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/plugintest"
)

// fill puts n servers under prefix, each with so many bytes more than it needs.
func fill(t *testing.T, db *clientv3.Client, prefix string, n, bytes int) {
	t.Helper()
	t.Cleanup(func() {
		_, _ = db.Delete(context.Background(), prefix, clientv3.WithPrefix())
	})
	const most = 100 // etcd allows 128
	var ops []clientv3.Op
	for i := range n {
		addr := fmt.Sprintf("10.%d.%d.%d:80", i>>16&255, i>>8&255, i&255)
		value := fmt.Sprintf(`{"Op":0,"Addr":%q,"Metadata":{"pad":%q}}`, addr, strings.Repeat("x", bytes))
		ops = append(ops, clientv3.OpPut(fmt.Sprintf("%s%06d", prefix, i), value))
		if len(ops) == most || i == n-1 {
			if _, err := db.Txn(t.Context()).Then(ops...).Commit(); err != nil {
				t.Fatal(err)
			}
			ops = nil
		}
	}
}

func TestSiblingPrefixIsNotOurs(t *testing.T) {
	all := servers(t)
	db, prefix := raw(t, all), newPrefix()
	trimmed := strings.TrimSuffix(prefix, "/")
	put(t, db, trimmed+"-other/a", entry("10.0.0.9:80"))
	put(t, db, trimmed, entry("10.0.0.8:80"))
	put(t, db, prefix+"a", entry("10.0.0.1:80"))
	f := discoverytest.Follow(t, etcd.Watcher(all, trimmed))
	f.Await("10.0.0.1:80")
	put(t, db, trimmed+"-other/b", entry("10.0.0.7:80"))
	put(t, db, prefix+"b", entry("10.0.0.2:80"))
	f.Await("10.0.0.1:80", "10.0.0.2:80")
	if n := f.Count(); n != 2 {
		t.Errorf("%d reports, want 2", n)
	}
}

func TestMalformedEntryIsSkippedAndReported(t *testing.T) {
	all := servers(t)
	db, prefix := raw(t, all), newPrefix()
	put(t, db, prefix+"a", entry("10.0.0.1:80"))
	put(t, db, prefix+"b", "nonsense")
	var mu sync.Mutex
	var skipped []string
	f := discoverytest.Follow(t, etcd.Watcher(all, prefix, etcd.OnSkipped(func(key string, err error) {
		mu.Lock()
		defer mu.Unlock()
		skipped = append(skipped, key)
		if err == nil {
			t.Error("the error is nil")
		}
	})))
	f.Await("10.0.0.1:80")
	put(t, db, prefix+"c", entry("10.0.0.2:80"))
	f.Await("10.0.0.1:80", "10.0.0.2:80")
	f.Stop()
	if len(skipped) != 1 || skipped[0] != prefix+"b" {
		t.Errorf("skipped are %q", skipped)
	}
}

func TestFormatThatNeedsOnlyNamesReadsNoValues(t *testing.T) {
	all := servers(t)
	db, prefix, p := raw(t, all), newPrefix(), plugintest.Proxy(t, all[0])
	put(t, db, prefix+"10.0.0.1:80", strings.Repeat("x", 1_000_000))
	f := discoverytest.Follow(t, etcd.Watcher([]string{p.Addr()}, prefix, etcd.WithFormat(format.PlainKey())))
	f.Await("10.0.0.1:80")
	if n := p.Traffic().FromServer; n > 10_000 {
		t.Errorf("%d bytes were read", n)
	}
	remove(t, db, prefix+"10.0.0.1:80")
	f.Await()
}

func TestWatchersShareOneClientWhichTheLastOneCloses(t *testing.T) {
	all := servers(t)
	p := plugintest.Proxy(t, all[0])
	db, prefix := raw(t, all), newPrefix()
	one := discoverytest.Follow(t, etcd.Watcher([]string{p.Addr()}, prefix))
	one.Await()
	two := discoverytest.Follow(t, etcd.Watcher([]string{p.Addr()}, prefix))
	two.Await()
	if n := p.Traffic().Connections; n != 1 {
		t.Errorf("%d connections for two watches, want 1", n)
	}
	one.Stop()
	put(t, db, prefix+"a", entry("10.0.0.1:80"))
	two.Await("10.0.0.1:80")
	two.Stop()
	closed := time.After(timeout)
	for p.Traffic().Open > 0 {
		select {
		case <-time.After(time.Millisecond):
		case <-closed:
			t.Fatalf("%d connections are open", p.Traffic().Open)
		}
	}
}

// TestCompactionWhileCutOffLosesNoDelete is what etcd's own resumption of a
// watch cannot get over.
func TestCompactionWhileCutOffLosesNoDelete(t *testing.T) {
	all := servers(t)
	p := plugintest.Proxy(t, all[0])
	db, prefix := raw(t, all), newPrefix()
	put(t, db, prefix+"a", entry("10.0.0.1:80"))
	put(t, db, prefix+"b", entry("10.0.0.2:80"))
	f := discoverytest.Follow(t, etcd.Watcher([]string{p.Addr()}, prefix))
	f.Await("10.0.0.1:80", "10.0.0.2:80")
	p.Cut()
	remove(t, db, prefix+"a")
	last := put(t, db, prefix+"c", entry("10.0.0.3:80"))
	if _, err := db.Compact(t.Context(), last.Header.Revision); err != nil {
		t.Fatal(err)
	}
	if err := p.Heal(); err != nil {
		t.Fatal(err)
	}
	f.Await("10.0.0.2:80", "10.0.0.3:80")
	put(t, db, prefix+"d", entry("10.0.0.4:80"))
	f.Await("10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80")
}

// TestTornListIsNeverASmallerSet cuts the connection after each of many
// numbers of bytes; the watch lists again until it has all.
func TestTornListIsNeverASmallerSet(t *testing.T) {
	all := servers(t)
	db, prefix := raw(t, all), newPrefix()
	const n = 300
	fill(t, db, prefix, n, 100)
	p := plugintest.Proxy(t, all[0])
	before := p.Traffic().FromServer
	discoverytest.Follow(t, etcd.Watcher([]string{p.Addr()}, prefix)).AwaitLen(n)
	whole := p.Traffic().FromServer - before
	for i := range int64(40) {
		cut := p.CutAfter(whole * i / 39)
		f := discoverytest.Follow(t, etcd.Watcher([]string{p.Addr()}, prefix))
		f.AwaitLen(n)
		if reports := f.Count(); reports != 1 {
			t.Errorf("cut after %d of %d bytes: %d reports, want 1", whole*i/39, whole, reports)
		}
		f.Stop()
		select {
		case <-cut:
		default:
			if i < 30 {
				t.Errorf("nothing was cut after %d of %d bytes", whole*i/39, whole)
			}
		}
	}
}

// TestHungServerOfThreeIsLeftForAnother makes the server that is watched
// silent: its connection stays, and no answer comes.
func TestHungServerOfThreeIsLeftForAnother(t *testing.T) {
	all := servers(t)
	db, prefix := raw(t, all), newPrefix()
	proxies := make([]*discoverytest.Proxy, 3)
	addrs := make([]string, 3)
	for i := range proxies {
		proxies[i] = plugintest.Proxy(t, all[i%len(all)])
		addrs[i] = proxies[i].Addr()
	}
	f := discoverytest.Follow(t, etcd.Watcher(addrs, prefix, etcd.Timeout(time.Second)))
	f.Await()
	for i, p := range proxies { // one of them is the one
		if err := p.Hang(); err != nil {
			t.Fatal(err)
		}
		key, addr := fmt.Sprint(prefix, i), fmt.Sprintf("10.0.0.%d:80", i)
		start := time.Now()
		put(t, db, key, entry(addr))
		f.Await(addr)
		if d := time.Since(start); d > 8*time.Second {
			t.Errorf("with one server of three hung, a change was seen after %v", d)
		}
		if err := p.Heal(); err != nil {
			t.Fatal(err)
		}
		remove(t, db, key)
		f.Await()
	}
}

func TestUnreachableRegistryIsReportedByNameAfterTheRetryWindow(t *testing.T) {
	addr := freeAddr(t)
	start := time.Now()
	err := discoverytest.Follow(t, etcd.Watcher([]string{addr}, "/x/")).Fails()
	if d := time.Since(start); d < 5*time.Second || d > 20*time.Second {
		t.Errorf("it failed after %v, want about 10 s", d)
	}
	for _, part := range []string{addr, "/x/", "connection refused"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q: %v", part, err)
		}
	}
}

func TestListsBeyondAMessageAndAPageAreComplete(t *testing.T) {
	all := servers(t)
	db, prefix := raw(t, all), newPrefix()
	const n = 20_001            // three pages
	fill(t, db, prefix, n, 200) // 5 MB
	f := discoverytest.Follow(t, etcd.Watcher(all, prefix))
	f.AwaitLen(n)
	if reports := f.Count(); reports != 1 {
		t.Errorf("%d reports, want 1", reports)
	}
	remove(t, db, prefix+"000000")
	f.AwaitLen(n - 1)
}

func TestOneChangeOfMoreThanAMessageIsReportedAtOnce(t *testing.T) {
	all := servers(t)
	db, prefix := raw(t, all), newPrefix()+strings.Repeat("long", 100)+"/"
	const n = 6000 // times 400 bytes and more: the event of their removal comes in parts
	fill(t, db, prefix, n, 0)
	f := discoverytest.Follow(t, etcd.Watcher(all, prefix))
	f.AwaitLen(n)
	if _, err := db.Delete(t.Context(), prefix, clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	f.Await()
	if reports := f.Count(); reports != 2 {
		t.Errorf("%d reports, want 2", reports)
	}
}

func TestOneChangeAmongTenThousandCostsNoRequest(t *testing.T) {
	all := servers(t)
	db, prefix, p := raw(t, all), newPrefix(), plugintest.Proxy(t, all[0])
	const n = 10_000
	fill(t, db, prefix, n, 0)
	f := discoverytest.Follow(t, etcd.Watcher([]string{p.Addr()}, prefix, etcd.Timeout(time.Minute))) // no progress is asked for meanwhile
	f.AwaitLen(n)
	put(t, db, prefix+"first", entry("10.200.0.1:80")) // the watch is established
	f.AwaitLen(n + 1)
	before := p.Traffic()
	put(t, db, prefix+"second", entry("10.200.0.2:80"))
	f.AwaitLen(n + 2)
	after := p.Traffic()
	// gRPC acknowledges with a ping or a window update of less than 20 bytes;
	// the smallest request has more than 50.
	if sent := after.ToServer - before.ToServer; sent > 50 {
		t.Errorf("%d bytes were sent", sent)
	}
	if got := after.FromServer - before.FromServer; got > 500 {
		t.Errorf("%d bytes came", got)
	}
}

// TestEndOfAnOutageIsSeenWithinSeconds has an outage that is too short for Watch
// to return.
func TestEndOfAnOutageIsSeenWithinSeconds(t *testing.T) {
	all := servers(t)
	db, prefix, p := raw(t, all), newPrefix(), plugintest.Proxy(t, all[0])
	put(t, db, prefix+"a", entry("10.0.0.1:80"))
	f := discoverytest.Follow(t, etcd.Watcher([]string{p.Addr()}, prefix))
	f.Await("10.0.0.1:80")
	p.Cut()
	outage := time.NewTimer(5 * time.Second)
	put(t, db, prefix+"b", entry("10.0.0.2:80"))
	<-outage.C
	if err := p.Heal(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	f.Await("10.0.0.1:80", "10.0.0.2:80")
	d := time.Since(start)
	t.Logf("what changed in an outage of 5 s was seen %v after its end", d)
	if d > 2*time.Second {
		t.Error("that is too long")
	}
	start = time.Now()
	f.Stop()
	t.Logf("Watch returned %v after it was cancelled", time.Since(start))
}
