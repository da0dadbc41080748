//go:build !race && unix

package httppool

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// parrot is a server that costs next to nothing: it answers whatever comes in
// one piece with the same 100 bytes.
func parrot(tb testing.TB) string {
	tb.Helper()
	body := fmt.Sprintf("%0100d", 1)
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n" + body)
	return listen(tb, func(nc net.Conn) {
		buf := make([]byte, 4096)
		for {
			n, err := nc.Read(buf)
			if err != nil {
				return
			}
			if n >= 4 && string(buf[n-4:n]) == "\r\n\r\n" {
				if _, err := nc.Write(answer); err != nil {
					return
				}
			}
		}
	})
}

// fetch makes one call as most programs do.
func fetch(tb testing.TB, c *http.Client, url string) {
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, url, nil)
	if err != nil {
		tb.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		tb.Error(err)
		return
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err != nil {
		tb.Error(err)
	}
	_ = resp.Body.Close()
}

// byHand is a plain client with the servers in rotation.
func byHand(tb testing.TB, addrs []string) func() {
	tb.Helper()
	tr := &http.Transport{MaxIdleConnsPerHost: 256, ExpectContinueTimeout: time.Second}
	tb.Cleanup(tr.CloseIdleConnections)
	c := &http.Client{Transport: tr}
	urls := make([]string, len(addrs))
	for i, a := range addrs {
		urls[i] = "http://" + a + "/path"
	}
	var next atomic.Uint64
	return func() { fetch(tb, c, urls[next.Add(1)%uint64(len(urls))]) }
}

func pooled(tb testing.TB, addrs []string) func() {
	tb.Helper()
	c := clientOf(tb, newPool(tb, Config{}, addrs, core.MaxActive(128)))
	return func() { fetch(tb, c, "http://echo/path") }
}

// run makes n calls by that many callers and returns how long it took.
func run(callers, n int, f func()) time.Duration {
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	begun := time.Now()
	for range callers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				f()
			}
		})
	}
	wg.Wait()
	return time.Since(begun)
}

// BenchmarkCall takes turns of some hundred calls, so that what else the
// machine does meets both alike, and reports the ratio of their throughputs.
func BenchmarkCall(b *testing.B) {
	addrs := []string{parrot(b), parrot(b), parrot(b)}
	for _, callers := range []int{1, 16, 128} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			hand, ours := byHand(b, addrs), pooled(b, addrs)
			turn := max(500, 40*callers)
			run(callers, 20*callers, hand)
			run(callers, 20*callers, ours)
			var times, cpus [2]time.Duration
			b.ResetTimer()
			for i := 0; i < b.N; i += turn {
				first, second := 0, 1
				if i/turn%2 == 1 {
					first, second = 1, 0
				}
				fs := [2]func(){hand, ours}
				for _, k := range [2]int{first, second} {
					before := cpu()
					times[k] += run(callers, turn, fs[k])
					cpus[k] += cpu() - before
				}
			}
			b.StopTimer()
			b.ReportMetric(times[0].Seconds()/times[1].Seconds(), "x-throughput")
			b.ReportMetric(cpus[1].Seconds()/cpus[0].Seconds(), "x-cpu")
			b.ReportMetric(float64(times[0].Nanoseconds())/float64((b.N+turn-1)/turn*turn), "hand-ns/call")
			b.ReportMetric(float64(times[1].Nanoseconds())/float64((b.N+turn-1)/turn*turn), "ours-ns/call")
		})
	}
}

// cpu is the processor time that the process, servers and all, has used.
func cpu() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
