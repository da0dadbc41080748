//go:build go1.26

package httppool

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/minicaptain/multi_connection_pool/core"
)

// writeCounter counts the writes on a connection.
type writeCounter struct {
	net.Conn

	writes *atomic.Int32
}

func (c writeCounter) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

func TestASmallBodyFromMemoryIsSentInOneWriteWithTheHeader(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	var writes atomic.Int32
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := new(net.Dialer).DialContext(ctx, network, addr)
		return writeCounter{nc, &writes}, err
	}
	text := strings.Repeat("x", 100)
	large := strings.Repeat("x", 1<<20)
	pool := newPool(t, Config{DialContext: dial}, []string{addrOf(s)}, core.MaxActive(1))
	tr := &http.Transport{DialContext: dial}
	t.Cleanup(tr.CloseIdleConnections)
	for name, c := range map[string]struct {
		body func() io.Reader
		want int32 // writes; 0 = whatever it takes
		text string
	}{
		"bytes.Reader":   {func() io.Reader { return bytes.NewReader([]byte(text)) }, 1, text},
		"strings.Reader": {func() io.Reader { return strings.NewReader(text) }, 1, text},
		"bytes.Buffer":   {func() io.Reader { return bytes.NewBufferString(text) }, 1, text},
		"large":          {func() io.Reader { return strings.NewReader(large) }, 0, large},
		"another reader": {func() io.Reader { return io.MultiReader(strings.NewReader(text)) }, 0, text},
	} {
		for whose, rt := range map[string]http.RoundTripper{"ours": clientOf(t, pool).Transport, "net/http's": toServer{tr, addrOf(s)}} {
			writes.Store(0)
			resp, err := rt.RoundTrip(must(http.NewRequestWithContext(t.Context(), http.MethodPost, "http://echo/", c.body())))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if n := writes.Load(); string(got) != c.text || err != nil || c.want != 0 && n != c.want {
				t.Errorf("%s, %s: %d bytes in %d writes, %v", name, whose, len(got), n, err)
			}
		}
	}
}

// Whether it was read or not, the next attempt sends all of it.
func TestABodyFromMemoryIsSentAgainAsAWhole(t *testing.T) {
	for _, bad := range []string{taking(t), vacant(t), addrOf(server(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))} {
		good, _ := answering(t, "good", http.StatusOK)
		c := clientOf(t, newPool(t, Config{}, []string{bad, good}, core.MaxActive(1), first(bad)))
		for _, body := range []io.Reader{strings.NewReader("body"), bytes.NewBufferString("body"), bytes.NewReader([]byte("body"))} {
			req := must(http.NewRequestWithContext(t.Context(), http.MethodPut, "http://echo/", body))
			resp, err := c.Do(req)
			if err != nil {
				t.Error(err)
				continue
			}
			if got, err := io.ReadAll(resp.Body); string(got) != "good body" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
			_ = resp.Body.Close()
		}
	}
}

func TestABodyWithAnotherLengthOrOwnerIsNotTakenAsItIs(t *testing.T) {
	post := func(change func(*http.Request)) bool {
		req := must(http.NewRequestWithContext(t.Context(), http.MethodPost, "http://echo/", strings.NewReader("body")))
		change(req)
		return inMemory(req, req.Body)
	}
	if !post(func(*http.Request) {}) {
		t.Error("an ordinary body is not taken as it is")
	}
	for name, change := range map[string]func(*http.Request){
		"longer":         func(r *http.Request) { r.ContentLength = 5 },
		"shorter":        func(r *http.Request) { r.ContentLength = 3 },
		"unknown":        func(r *http.Request) { r.ContentLength = -1 },
		"unrepeatable":   func(r *http.Request) { r.GetBody = nil },
		"to be closed":   func(r *http.Request) { r.Body = &closing{Reader: strings.NewReader("body")} },
		"another kind":   func(r *http.Request) { r.Body = io.NopCloser(io.MultiReader(strings.NewReader("body"))) },
		"asked for":      func(r *http.Request) { r.Header.Set("Expect", "100-continue") },
		"nothing at all": func(r *http.Request) { r.Body = nil },
	} {
		if post(change) {
			t.Errorf("%s: it is taken as it is", name)
		}
	}
}
