//go:build go1.26 && !race

package httppool

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
)

func TestARequestCostsTwoAllocationsMoreThanWithoutThePoolAtMost(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		addrs := make([]string, 3)
		for i := range addrs {
			if addrs[i] = parrot(t); http2 {
				s, _ := h2c(t, hello("a"))
				addrs[i] = addrOf(s)
			}
		}
		measure := func(f func()) float64 {
			for range 100 { // open the connections
				f()
			}
			return testing.AllocsPerRun(2000, f)
		}
		hand, ours := measure(byHand(t, addrs, http2)), measure(pooled(t, addrs, http2))
		t.Logf("HTTP/2 %v: by hand %v, ours %v", http2, hand, ours)
		if ours > hand+2 {
			t.Errorf("HTTP/2 %v: %v allocations by hand, %v with the pool", http2, hand, ours)
		}
	}
}

// parrot is a server that costs next to nothing: it answers every request that
// arrives in one piece with the same 100 bytes.
func parrot(tb testing.TB) string {
	tb.Helper()
	body := fmt.Sprintf("%0100d", 1)
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n" + body)
	return prototest.Listen(tb, func(nc net.Conn) {
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

// fetch makes one request as most programs do.
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

// byHand returns a plain client's request to the servers in rotation.
func byHand(tb testing.TB, addrs []string, http2 bool) func() {
	tb.Helper()
	tr := &http.Transport{MaxIdleConnsPerHost: 256, ExpectContinueTimeout: time.Second, Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP1(!http2)
	tr.Protocols.SetUnencryptedHTTP2(http2)
	tb.Cleanup(tr.CloseIdleConnections)
	c := &http.Client{Transport: tr}
	urls := make([]string, len(addrs))
	for i, a := range addrs {
		urls[i] = "http://" + a + "/path"
	}
	var next atomic.Uint64
	return func() { fetch(tb, c, urls[next.Add(1)%uint64(len(urls))]) }
}

func pooled(tb testing.TB, addrs []string, http2 bool) func() {
	tb.Helper()
	c := clientOf(tb, poolOf(tb, Config{HTTP2: http2}, static.Watcher(addrs...), core.MaxActive(128)))
	return func() { fetch(tb, c, "http://echo/path") }
}
