package kubernetes_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/kubernetes"
)

// TestNothingThatAnAPIServerSendsHarmsAWatcher has a server of its own.
func TestNothingThatAnAPIServerSendsHarmsAWatcher(t *testing.T) {
	discoverytest.RunHostile(t, func(t *testing.T) discoverytest.Fixture {
		h := startHostile()
		return discoverytest.Fixture{
			Watcher: func() (discovery.Watcher, error) {
				return kubernetes.Watcher("shop/echo:p", kubernetes.WithConfig(&rest.Config{Host: h.server.URL})), nil
			},
			Put:           h.put,
			Close:         func() error { h.change(func() { h.closed = true }); h.server.Close(); return nil },
			CountRequests: func(context.Context) (int, error) { return int(h.requests.Load()), nil },
			Contradict:    h.while(h.contradict),
			Endless:       h.while(endless),
			Storm: h.while(func(w http.ResponseWriter, r *http.Request, _ int64) {
				h.stream(w, r, func(send func(string, *discoveryv1.EndpointSlice) error) {
					for send("MODIFIED", h.slice()) == nil && !h.over() { // as it is
					}
				})
			}),
			Restless: h.while(func(w http.ResponseWriter, r *http.Request, n int64) {
				h.stream(w, r, func(send func(string, *discoveryv1.EndpointSlice) error) {
					s := h.slice()
					for i := 0; send("MODIFIED", s) == nil && !h.over(); i++ {
						s.ResourceVersion = fmt.Sprint("1", i)
						s.Endpoints = []discoveryv1.Endpoint{endpoint(fmt.Sprintf("10.9.%d.%d", i>>8&255, i&255))}
					}
				})
			}),
			Flood: func(ctx context.Context, entries, size int) (func() error, error) {
				h.change(func() {
					for i := range entries {
						s := h.named(fmt.Sprint("flood-", i))
						name := strings.Repeat("x", size)
						s.Endpoints = []discoveryv1.Endpoint{endpoint(fmt.Sprintf("10.8.%d.%d", i>>8, i&255))}
						s.Endpoints[0].NodeName = &name
						h.more = append(h.more, s)
					}
				})
				return func() error { h.change(func() { h.more = nil }); return nil }, nil
			},
			PutUnchecked: func(_ context.Context, e discovery.Endpoint) error {
				h.change(func() { h.add(fmt.Sprint("unchecked-", h.version), e) })
				return nil
			},
			MaxMemory: 768 << 20, // the server has the flood too
			Timeout:   time.Minute,
		}
	})
}

// A list has a bound, and so has what a watch adds to it, piece by piece.
func TestSlicesThatAWatchAddsAreBounded(t *testing.T) {
	const size, most = 256 << 10, 136 // 34 MiB
	h := startHostile()
	t.Cleanup(h.server.Close) // behind the watch
	if err := h.put(t.Context(), []discovery.Endpoint{{Addr: "10.0.0.1:90"}}); err != nil {
		t.Fatal(err)
	}
	got := follow(t, kubernetes.Watcher("shop/echo:p", kubernetes.WithConfig(&rest.Config{Host: h.server.URL})))
	got.is("10.0.0.1:90")
	more := make(chan struct{})
	begin := h.while(func(w http.ResponseWriter, r *http.Request, _ int64) {
		h.stream(w, r, func(send func(string, *discoveryv1.EndpointSlice) error) {
			text := strings.Repeat("x", size)
			change := func(i, version int, addr string) error {
				s := h.slice()
				s.Name, s.ResourceVersion = fmt.Sprint("more-", i), fmt.Sprint("1", version)
				s.Endpoints = []discoveryv1.Endpoint{endpoint(addr)}
				s.Annotations = map[string]string{"x": text}
				return send("MODIFIED", s)
			}
			for i := range most { // one slice, which changes
				_ = change(0, i, fmt.Sprintf("10.0.1.%d", i/2))
			}
			_ = change(0, most, "10.0.0.3")
			w.(http.Flusher).Flush()
			select {
			case <-more:
			case <-r.Context().Done():
			}
			for i := range most {
				if change(i, most+i, "10.0.0.4") != nil {
					return
				}
			}
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		})
	})
	if _, err := begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	got.is("10.0.0.3:9090", "10.0.0.1:90")
	close(more)
	got.loses("the slices of the Service shop/echo have more than 33554432 bytes")
}

// A watch that has lasted long and ends as planned is followed by another and nobody is
// told. A set that is in doubt must not pass for that.
func TestDoubtAtTheEndOfALongWatchIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHostile()
		got := h.followed(t, func(w http.ResponseWriter, r *http.Request, n int64) {
			h.stream(w, r, func(send func(string, *discoveryv1.EndpointSlice) error) {
				if n == 1 {
					time.Sleep(5 * time.Minute)
					s := h.named("s0") // which has another port now
					other := "q"
					s.ResourceVersion, s.Ports[0].Name, s.Endpoints = "11", &other, []discoveryv1.Endpoint{endpoint("10.0.0.1")}
					if send("MODIFIED", s) == nil {
						w.(http.Flusher).Flush()
					}
				}
				<-r.Context().Done()
			})
		})
		time.Sleep(4 * time.Minute)
		got.loses("none is named p")
	})
}

// Over HTTP/1.1 nothing asks whether the API server is alive, but it was asked to end the watch.
func TestAnAPIServerThatHangsIsLeftAfterTheTimeOfItsWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHostile()
		got := h.followed(t, func(w http.ResponseWriter, r *http.Request, _ int64) {
			h.stream(w, r, func(func(string, *discoveryv1.EndpointSlice) error) { <-r.Context().Done() })
		})
		if err := h.put(t.Context(), []discovery.Endpoint{{Addr: "10.0.0.2:9090"}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Minute)
		got.is("10.0.0.2:9090")
		time.Sleep(24 * time.Hour)
		if n := h.requests.Load(); n < 24*60/11 || n > 24*60/5+2 {
			t.Errorf("%d requests in a day", n)
		}
		if len(got.retries)+len(got.lost) > 0 {
			t.Errorf("retries %v, losses %v", got.retries, got.lost)
		}
	})
}

// One event has a bound of its own.
func TestAnEventThatDoesNotEndIsNotRead(t *testing.T) {
	h := startHostile()
	t.Cleanup(h.server.Close) // behind the watch
	if err := h.put(t.Context(), []discovery.Endpoint{{Addr: "10.0.0.1:9090"}}); err != nil {
		t.Fatal(err)
	}
	sent := make(chan int, 1)
	begin := h.while(func(w http.ResponseWriter, r *http.Request, n int64) {
		h.stream(w, r, func(func(string, *discoveryv1.EndpointSlice) error) {
			if n > 1 {
				<-r.Context().Done()
				return
			}
			text := []byte(strings.Repeat("x", 1<<20))
			_, err := io.WriteString(w, `{"type":"ADDED","object":{"metadata":{"name":"`)
			size := 0
			for ; err == nil && size < 256<<20; size += len(text) {
				_, err = w.Write(text)
			}
			sent <- size
		})
	})
	if _, err := begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := follow(t, kubernetes.Watcher("shop/echo:p", kubernetes.WithConfig(&rest.Config{Host: h.server.URL})))
	got.is("10.0.0.1:9090")
	if size := <-sent; size > 64<<20 {
		t.Errorf("%d bytes of one event were read", size)
	}
}

// followed serves 10.0.0.1:9090 and the lie within a bubble, and returns who follows that and
// has the first set.
func (h *hostile) followed(t *testing.T, lie func(http.ResponseWriter, *http.Request, int64)) *seen {
	t.Helper()
	if err := h.put(t.Context(), []discovery.Endpoint{{Addr: "10.0.0.1:9090"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.while(lie)(t.Context()); err != nil {
		t.Fatal(err)
	}
	listener := pipes{make(chan net.Conn), make(chan struct{})}
	server := &http.Server{Handler: h}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() { _ = server.Close(); serving.Wait() })
	got := follow(t, kubernetes.Watcher("shop/echo:p", kubernetes.WithConfig(&rest.Config{Host: "http://api.example", Dial: listener.dial})))
	got.is("10.0.0.1:9090")
	return got
}

// pipes is a network of one server.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { close(p.closed); return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{} }

// hostile answers as an API server does, until it lies.
type hostile struct {
	server   *httptest.Server
	requests atomic.Int64

	mu      sync.Mutex
	version int
	set     []*discoveryv1.EndpointSlice
	more    []*discoveryv1.EndpointSlice
	changed chan struct{} // closed and replaced by each change
	lie     func(w http.ResponseWriter, r *http.Request, n int64)
	closed  bool
}

func newHostile() *hostile { return &hostile{version: 10, changed: make(chan struct{})} }

func startHostile() *hostile {
	h := newHostile()
	h.server = httptest.NewServer(h)
	return h
}

func (h *hostile) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := h.requests.Add(1)
	w.Header().Set("Content-Type", "application/json")
	h.mu.Lock()
	lie, changed := h.lie, h.changed
	h.mu.Unlock()
	if lie != nil {
		lie(w, r, n)
		return
	}
	h.stream(w, r, func(func(string, *discoveryv1.EndpointSlice) error) {
		select {
		case <-changed:
		case <-r.Context().Done():
		}
	})
}

func (h *hostile) change(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
	h.version++
	close(h.changed)
	h.changed = make(chan struct{})
}

// over reports whether the lie is.
func (h *hostile) over() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lie == nil
}

func (h *hostile) named(name string) *discoveryv1.EndpointSlice {
	s := newSlice("echo", name, discoveryv1.AddressTypeIPv4, 9090)
	s.TypeMeta = metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"}
	s.Namespace, s.UID, s.ResourceVersion = "shop", "u", fmt.Sprint(h.version)
	return s
}

func (h *hostile) slice() *discoveryv1.EndpointSlice {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.named("s")
}

// add adds a slice of one endpoint, as it is.
func (h *hostile) add(name string, e discovery.Endpoint) {
	s := h.named(name)
	i := strings.LastIndex(e.Addr, ":")
	host := strings.Trim(e.Addr[:max(i, 0)], "[]")
	if ip, err := netip.ParseAddr(host); err != nil {
		s.AddressType = discoveryv1.AddressTypeFQDN
	} else if ip.Is6() {
		s.AddressType = discoveryv1.AddressTypeIPv6
	}
	var port int32
	_, _ = fmt.Sscan(e.Addr[i+1:], &port)
	s.Ports[0].Port = &port
	one := endpoint(host)
	if e.Zone != "" {
		one.Zone = &e.Zone
	}
	for _, v := range e.Attrs {
		one.NodeName = &v
	}
	s.Endpoints = []discoveryv1.Endpoint{one}
	h.set = append(h.set, s)
}

func (h *hostile) put(_ context.Context, set []discovery.Endpoint) error {
	for _, e := range set {
		if len(e.Attrs) > 0 && e.Attrs["node"] == "" {
			return fmt.Errorf("no attributes of one's own (%w)", errors.ErrUnsupported)
		}
	}
	h.change(func() {
		h.set = nil
		for i, e := range set {
			h.add(fmt.Sprintf("s%d", i), e)
		}
	})
	return nil
}

func (h *hostile) while(lie func(http.ResponseWriter, *http.Request, int64)) func(context.Context) (func() error, error) {
	return func(context.Context) (func() error, error) {
		h.change(func() { h.lie = lie })
		return func() error { h.change(func() { h.lie = nil }); return nil }, nil
	}
}

// stream answers with a streaming list, and then what follow sends. A plain list or watch
// is refused, so that the slices are listed again after each change.
func (h *hostile) stream(w http.ResponseWriter, r *http.Request, follow func(send func(string, *discoveryv1.EndpointSlice) error)) {
	if r.URL.Query().Get("sendInitialEvents") != "true" {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	out := json.NewEncoder(w)
	send := func(kind string, s *discoveryv1.EndpointSlice) error {
		return out.Encode(map[string]any{"type": kind, "object": s})
	}
	h.mu.Lock()
	all := append(append([]*discoveryv1.EndpointSlice(nil), h.set...), h.more...)
	end := h.named("end")
	h.mu.Unlock()
	for _, s := range all {
		if send("ADDED", s) != nil {
			return
		}
	}
	end.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
	if send("BOOKMARK", end) == nil {
		w.(http.Flusher).Flush()
		follow(send)
	}
}

// contradict answers with something else each time: statuses, kinds, versions, halves.
func (h *hostile) contradict(w http.ResponseWriter, r *http.Request, n int64) {
	answers := []string{
		`{"type":"ADDED","object":{"kind":"Status","apiVersion":"v1","status":"Failure","code":410,"reason":"Expired"}}`,
		`{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","code":429,"reason":"TooManyRequests"}}`,
		`{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","code":410,"reason":"Expired"}}`,
		`{"type":"BOOKMARK","object":{"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1","metadata":{"resourceVersion":"x"}}}`,
		`{"type":"ADDED","object":{"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1","metadata":{"name":"a"}`,
		`{"type":"ADDED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"}}}`,
		`{"kind":"EndpointSliceList","apiVersion":"discovery.k8s.io/v1","metadata":{"resourceVersion":"5","continue":"again"},"items":[]}`,
		`[]`, `nonsense`, ``, "\x00\xff",
	}
	if n%5 == 0 {
		w.Header().Set("Retry-After", "0")
		w.WriteHeader([]int{301, 410, 429, 500, 504}[n/5%5])
	}
	_, _ = w.Write([]byte(answers[n%int64(len(answers))]))
}

// endless is one value that does not end, in a list or an event.
func endless(w http.ResponseWriter, r *http.Request, n int64) {
	text := strings.Repeat("x", 64<<10)
	_, _ = w.Write([]byte(`{"type":"ADDED","object":{"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1","metadata":{"name":"`))
	for err := error(nil); err == nil; {
		_, err = w.Write([]byte(text))
	}
}
