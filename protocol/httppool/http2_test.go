//go:build go1.26

package httppool

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
)

func TestOneConnectionOfHTTP2CarriesManyRequests(t *testing.T) {
	const callers = 50
	for _, tls := range []bool{false, true} {
		var meet sync.WaitGroup
		meet.Add(callers)
		h := func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/meet" { // none is answered before all are there
				meet.Done()
				meet.Wait()
			}
			_, _ = fmt.Fprint(w, r.URL.RawQuery, r.ProtoMajor)
		}
		scheme, k := "http", kind{}
		if tls {
			s, conf := secure(t, h, true)
			scheme, k.addr, k.conf = "https", addrOf(s), conf
		} else {
			s, conf := h2c(t, h)
			k.addr, k.conf = addrOf(s), conf
		}
		pool := poolOf(t, k.conf, static.Watcher(k.addr), core.MaxActive(1))
		c := clientOf(t, pool)
		for _, path := range []string{"/meet", "/", "/"} { // the first time the connection is new to all
			var all sync.WaitGroup
			for i := range callers {
				all.Go(func() {
					want := fmt.Sprintf("%d2", i)
					if _, got, err := get(t.Context(), c, fmt.Sprintf("%s://echo%s?%d", scheme, path, i)); got != want || err != nil {
						t.Errorf("%s: got %q, %v, want %q", path, got, err, want)
					}
				})
			}
			all.Wait()
		}
		until(t, "no lease is left", func() bool { return inUse(pool) == 0 })
		if n := pool.Stats().Endpoints[0].Dials; n != 1 {
			t.Errorf("%d connections were opened", n)
		}
	}
}

func TestMoreRequestsThanTheServerAllowsWait(t *testing.T) {
	var now, most atomic.Int32
	s, conf := h2c(t, func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		_, _ = io.WriteString(w, "ok")
		now.Add(-1)
	})
	s.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 2} // read when a connection comes
	pool := newPool(t, conf, []string{addrOf(s)}, core.MaxActive(1), core.MaxConcurrentCalls(20))
	c := clientOf(t, pool)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for range 10 {
				if _, got, err := call(t.Context(), c, http.MethodPost, "http://echo/", "x"); got != "ok" || err != nil {
					t.Errorf("%q, %v", got, err)
				}
			}
		})
	}
	all.Wait()
	if n := pool.Stats().Endpoints[0].Dials; n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestACanceledRequestDoesNotHarmItsNeighbours(t *testing.T) {
	s, conf := h2c(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			<-r.Context().Done()
			return
		}
		_, _ = io.WriteString(w, "ok")
	})
	pool := newPool(t, conf, []string{addrOf(s)}, core.MaxActive(1), core.MaxConcurrentCalls(10))
	c := clientOf(t, pool)
	for range 10 {
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error)
		go func() { // sends what is received below
			_, _, err := get(ctx, c, "http://echo/hang")
			failed <- err
		}()
		until(t, "the request is under way", func() bool { return inUse(pool) == 1 })
		if _, got, err := get(t.Context(), c, "http://echo/"); got != "ok" || err != nil {
			t.Errorf("a neighbour: %q, %v", got, err)
		}
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	if e := pool.Stats().Endpoints[0]; e.Dials != 1 || e.InUse != 0 {
		t.Errorf("%d connections, %d leases", e.Dials, e.InUse)
	}
}

// A server that shuts down in good order says goodbye on each connection, and
// answers the requests that it has accepted.
func TestAGoodbyeCostsNoRequest(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }
	var addrs []string
	var stop []func(context.Context) error
	var conf Config
	for range 3 {
		s, c := h2c(t, h)
		conf = c
		addrs = append(addrs, addrOf(s))
		stop = append(stop, s.Config.Shutdown)
	}
	pool := newPool(t, conf, addrs, core.MaxActive(2), core.MaxConcurrentCalls(8))
	c := clientOf(t, pool)
	var calls, failed atomic.Int64
	done := make(chan struct{})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				calls.Add(1)
				// This one must not be repeated once a server has processed it.
				if _, got, err := call(t.Context(), c, http.MethodPost, "http://echo/", "x"); got != "x" || err != nil {
					failed.Add(1)
					t.Errorf("%q, %v", got, err)
					return
				}
			}
		})
	}
	more := func() {
		n := calls.Load() + 500
		until(t, "calls go on", func() bool { return calls.Load() >= n || failed.Load() > 0 })
	}
	for _, f := range stop[:2] {
		more()
		if err := f(t.Context()); err != nil {
			t.Error(err)
		}
	}
	more()
	close(done)
	all.Wait()
	if failed.Load() > 0 {
		t.Errorf("%d of %d requests failed", failed.Load(), calls.Load())
	}
}

// frame returns a frame of HTTP/2.
func frame(kind, flags byte, stream uint32, payload []byte) []byte {
	b := []byte{0, byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	b = binary.BigEndian.AppendUint32(b, stream)
	return append(b, payload...)
}

const (
	frameHeaders, frameReset, frameSettings, frameGoAway = 1, 3, 4, 7
	ack, endHeadersAndStream                             = 1, 5
)

// speakHTTP2 calls headers with the stream of each request that begins, and
// writes the frames that headers returns.
func speakHTTP2(nc net.Conn, headers func(stream uint32) []byte) {
	_, _ = io.ReadFull(nc, make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")))
	_, _ = nc.Write(frame(frameSettings, 0, 0, nil))
	for head := make([]byte, 9); ; {
		if _, err := io.ReadFull(nc, head); err != nil {
			return
		}
		payload := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
		if _, err := io.ReadFull(nc, payload); err != nil {
			return
		}
		switch {
		case head[3] == frameSettings && head[4]&ack == 0:
			_, _ = nc.Write(frame(frameSettings, ack, 0, nil))
		case head[3] == frameHeaders:
			_, _ = nc.Write(headers(binary.BigEndian.Uint32(head[5:])))
		}
	}
}

// answered returns a response on the stream: ":status: 200" and no body.
func answered(stream uint32) []byte {
	return frame(frameHeaders, endHeadersAndStream, stream, []byte{0x88})
}

func code(c uint32) []byte { return binary.BigEndian.AppendUint32(nil, c) }

// The server has not processed the request. Any request may be sent again then,
// even to the same server on another connection.
func TestARequestThatAServerOfHTTP2HasNotProcessedIsSentAgain(t *testing.T) {
	for name, refuse := range map[string]func(stream uint32) []byte{
		"refused": func(stream uint32) []byte { return frame(frameReset, 0, stream, code(refusedStream)) },
		"goaway": func(stream uint32) []byte {
			return frame(frameGoAway, 0, 0, bytes.Join([][]byte{code(stream - 2), code(0)}, nil))
		},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			addr := prototest.Listen(t, func(nc net.Conn) {
				speakHTTP2(nc, func(stream uint32) []byte {
					asked.Add(1)
					if stream == 1 { // the first request succeeds
						return answered(stream)
					}
					return refuse(stream)
				})
			})
			good, conf := h2c(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
			pool := newPool(t, conf, []string{addr, addrOf(good)}, core.MaxActive(1), core.MaxConcurrentCalls(5), first(addr))
			c := clientOf(t, pool)
			if code, got, err := call(t.Context(), c, http.MethodPost, "http://echo/", "one"); code != http.StatusOK || got != "" || err != nil {
				t.Errorf("the first: %d %q, %v", code, got, err)
			}
			code, got, err := call(t.Context(), c, http.MethodPost, "http://echo/", "two")
			if code != http.StatusOK || got != "two" && name == "refused" || err != nil {
				t.Errorf("the second: %d %q, %v", code, got, err)
			}
			if n := asked.Load(); n < 2 {
				t.Errorf("it was asked %d times", n)
			}
			until(t, "no lease is left", func() bool { return inUse(pool) == 0 })
		})
	}
}

func TestAResetStreamIsAnErrorAndLeavesTheConnection(t *testing.T) {
	const internalError = 2
	addr := prototest.Listen(t, func(nc net.Conn) {
		speakHTTP2(nc, func(stream uint32) []byte {
			if stream == 3 {
				return frame(frameReset, 0, stream, code(internalError))
			}
			return answered(stream)
		})
	})
	pool := newPool(t, Config{HTTP2: true}, []string{addr}, core.MaxActive(1), core.MaxConcurrentCalls(5))
	c := clientOf(t, pool)
	for i, fails := range []bool{false, true, false} {
		_, _, err := call(t.Context(), c, http.MethodPost, "http://echo/", "x")
		if (err != nil) != fails || fails && !strings.Contains(err.Error(), "INTERNAL_ERROR") {
			t.Errorf("request %d: %v", i, err)
		}
	}
	if n := pool.Stats().Endpoints[0].Dials; n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestAServerOfHTTP2ThatHangsLosesItsConnection(t *testing.T) {
	silent := prototest.Listen(t, func(nc net.Conn) { speakHTTP2(nc, func(uint32) []byte { return nil }) })
	good, conf := h2c(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "good") })
	conf.Timeout = 200 * time.Millisecond
	of := func(addrs ...string) *http.Client {
		return clientOf(t, newPool(t, conf, addrs, core.MaxActive(1), core.MaxConcurrentCalls(5), first(silent)))
	}
	if _, got, err := get(t.Context(), of(silent, addrOf(good)), "http://echo/"); got != "good" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	_, _, err := call(t.Context(), of(silent), http.MethodPost, "http://echo/", "x")
	var e *Error
	if !errors.As(err, &e) || !e.Timeout() || !errors.Is(err, errTimeout) || e.Endpoint != silent || e.Outcome != balance.OutcomeFailure {
		t.Errorf("POST: %v", err)
	}
}
