package consul_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/consul"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
)

func watcherOfInstances(addr string) discovery.Watcher { return consul.Watcher([]string{addr}, "echo") }

func TestNothingThatConsulSendsHarmsAWatcher(t *testing.T) {
	discoverytest.RunHostile(t, func(*testing.T) discoverytest.Fixture {
		return newHostileInstances().fixture(watcherOfInstances)
	})
}

// hostileAgent answers what a watcher asks, until lie is set, which then answers the
// questions for what it holds: instances of a service, or keys.
type hostileAgent[T any] struct {
	held[T]

	server *httptest.Server

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced by each change
	index    int
	all      []T
	lie      func(http.ResponseWriter, *http.Request)
	requests int // for what is held
}

// held is what an agent holds.
type held[T any] struct {
	path string // that questions for it have
	// answer writes what is held, and of returns what stands for an endpoint; unchecked
	// is number n, for one that may have anything.
	answer    func(w http.ResponseWriter, index int, all []T)
	of        func(e discovery.Endpoint) (T, error)
	unchecked func(n int, e discovery.Endpoint) (T, error)
	// contradictions are answers that have none, and part begins one of many. flooded is
	// number i of a flood.
	contradictions [5]string
	part           string
	flooded        func(i int, filler string) string
}

func newHostileAgent[T any](of held[T]) *hostileAgent[T] {
	h := &hostileAgent[T]{held: of, index: 1, changed: make(chan struct{})}
	h.server = httptest.NewServer(h)
	return h
}

// newHostileInstances is an agent with the instances of a service.
func newHostileInstances() *hostileAgent[*api.ServiceEntry] {
	return newHostileAgent(held[*api.ServiceEntry]{
		path: "/health/service/",
		answer: func(w http.ResponseWriter, index int, all []*api.ServiceEntry) {
			w.Header().Set("X-Consul-Index", strconv.Itoa(index))
			_ = json.NewEncoder(w).Encode(all)
		},
		of:             entryOf,
		unchecked:      func(_ int, e discovery.Endpoint) (*api.ServiceEntry, error) { return entryOf(e) },
		contradictions: [5]string{"[null]", `[{"Node":null}]`, "{}", `[{"Node":{},"Service":{"Port":1e3}}]`, `"`},
		part:           `{"Node":{},"Service":{}},`,
		flooded: func(i int, filler string) string {
			return fmt.Sprintf(`{"Node":{"Node":"n"},"Service":{"ID":"%d","Address":"10.%d.%d.%d","Port":80,"Meta":{"a":%q},"Weights":{"Passing":1}}}`,
				i, i>>16, i>>8&255, i&255, filler)
		},
	})
}

// fixture is what the suite needs of the agent, with this watcher of it.
func (h *hostileAgent[T]) fixture(watcher func(addr string) discovery.Watcher) discoverytest.Fixture {
	return discoverytest.Fixture{
		Watcher:       func() (discovery.Watcher, error) { return watcher(h.server.Listener.Addr().String()), nil },
		Put:           h.put,
		Close:         h.close,
		CountRequests: h.countRequests,
		Contradict:    h.while(h.contradict),
		Endless:       h.while(h.endless),
		Storm:         h.while(h.storm),
		Restless:      h.while(h.restless),
		Flood:         h.flood,
		PutUnchecked:  h.putUnchecked,
		Timeout:       time.Minute,
		// Two watchers read answers of up to 64 MiB, twice each while a buffer
		// grows, and the agent here encodes them.
		MaxMemory: 512 << 20,
	}
}

func (h *hostileAgent[T]) close() error {
	h.server.CloseClientConnections()
	h.server.Close()
	return nil
}

// change changes what is held and wakes who waits.
func (h *hostileAgent[T]) change(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
	h.index++
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *hostileAgent[T]) countRequests(context.Context) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.requests, nil
}

func (h *hostileAgent[T]) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.Contains(r.URL.Path, "/status/leader"):
		_, _ = io.WriteString(w, `"127.0.0.1:8300"`)
		return
	case !strings.Contains(r.URL.Path, h.path):
		http.NotFound(w, r) // there is no access control
		return
	}
	h.mu.Lock()
	h.requests++
	for h.lie == nil && r.FormValue("index") == strconv.Itoa(h.index) && r.Context().Err() == nil {
		changed := h.changed
		h.mu.Unlock()
		select {
		case <-changed:
		case <-r.Context().Done():
		}
		h.mu.Lock()
	}
	lie, index, all := h.lie, h.index, h.all
	h.mu.Unlock()
	if lie != nil {
		lie(w, r)
		return
	}
	h.answer(w, index, all)
}

func entryOf(e discovery.Endpoint) (*api.ServiceEntry, error) {
	host, port, err := net.SplitHostPort(e.Addr)
	if err != nil {
		return nil, fmt.Errorf("an instance has a port: %w (%w)", err, errors.ErrUnsupported)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("a port is a number: %w (%w)", err, errors.ErrUnsupported)
	}
	if e.Zone != "" {
		return nil, fmt.Errorf("an instance has no zone (%w)", errors.ErrUnsupported)
	}
	return &api.ServiceEntry{
		Node: &api.Node{Node: "n", Address: "192.0.2.1"},
		Service: &api.AgentService{
			ID: e.Addr, Service: "echo", Address: host, Port: number, Meta: e.Attrs, Weights: api.AgentWeights{Passing: 1},
		},
	}, nil
}

func (h *hostileAgent[T]) put(_ context.Context, set []discovery.Endpoint) error {
	var all []T
	for _, e := range set {
		one, err := h.of(e)
		if err != nil {
			return err
		}
		all = append(all, one)
	}
	h.change(func() { h.all = all })
	return nil
}

func (h *hostileAgent[T]) putUnchecked(_ context.Context, e discovery.Endpoint) (err error) {
	h.change(func() {
		var one T
		if one, err = h.unchecked(len(h.all), e); err == nil {
			h.all = append(slices.Clip(h.all), one)
		}
	})
	return err
}

// while lets lie answer until restore.
func (h *hostileAgent[T]) while(lie func(http.ResponseWriter, *http.Request)) func(context.Context) (func() error, error) {
	return func(context.Context) (func() error, error) {
		h.change(func() { h.lie = lie })
		return func() error { h.change(func() { h.lie = nil }); return nil }, nil
	}
}

// contradict answers with indexes that go back, and instances or keys that are none.
func (h *hostileAgent[T]) contradict(w http.ResponseWriter, _ *http.Request) {
	n, _ := h.countRequests(context.Background())
	w.Header().Set("X-Consul-Index", []string{"5", "-1", "0", "18446744073709551615", "x"}[n%5])
	body := h.contradictions[n%5]
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = io.WriteString(w, body)
}

func (h *hostileAgent[T]) endless(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Consul-Index", "7")
	_, _ = io.WriteString(w, "[")
	for part := bytes.Repeat([]byte(h.part), 500); r.Context().Err() == nil; {
		if _, err := w.Write(part); err != nil {
			return
		}
	}
}

// next is the index after a change that nobody made.
func (h *hostileAgent[T]) next() (index int, all []T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.index++
	return h.index, h.all
}

// storm answers at once, as if there were a change.
func (h *hostileAgent[T]) storm(w http.ResponseWriter, _ *http.Request) {
	index, all := h.next()
	h.answer(w, index, all)
}

func (h *hostileAgent[T]) restless(w http.ResponseWriter, _ *http.Request) {
	index, _ := h.next()
	one, err := h.of(discovery.Endpoint{Addr: fmt.Sprintf("10.1.%d.%d:9090", index/250%250, index%250)})
	if err != nil {
		panic(err)
	}
	h.answer(w, index, []T{one})
}

// flood answers with many instances or keys, which it makes as it writes them.
func (h *hostileAgent[T]) flood(_ context.Context, entries, size int) (func() error, error) {
	filler := strings.Repeat("v", size)
	return h.while(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		index, changed := strconv.Itoa(h.index), h.changed
		h.mu.Unlock()
		if r.FormValue("index") == index { // until the flood is over
			select {
			case <-changed:
				h.ServeHTTP(w, r)
			case <-r.Context().Done():
			}
			return
		}
		w.Header().Set("X-Consul-Index", index)
		for i := range entries {
			if _, err := io.WriteString(w, map[bool]string{true: "[", false: ","}[i == 0]+h.flooded(i, filler)); err != nil {
				return
			}
		}
		_, _ = io.WriteString(w, "]")
	})(context.Background())
}

// TestAFloodOfAnswersIsAskedForSlowly counts the questions of a watcher of an agent
// that always answers at once.
func TestAFloodOfAnswersIsAskedForSlowly(t *testing.T) {
	h := newHostileInstances()
	defer func() { _ = h.close() }()
	h.change(func() { h.lie = h.storm })
	f := discoverytest.Follow(t, watcherOfInstances(h.server.Listener.Addr().String()))
	time.Sleep(time.Second) // what is counted takes that long
	if n, _ := h.countRequests(t.Context()); n > 25 {
		t.Errorf("%d questions in a second", n)
	}
	f.Stop()
}
