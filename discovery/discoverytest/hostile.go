package discoverytest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/internal/leak"
)

const (
	// hostileTime is how long a registry is hostile.
	hostileTime = 500 * time.Millisecond
	// hostileReturnTimeout is how long Watch may take to return: it may have just begun
	// with what it was flooded with.
	hostileReturnTimeout = 5 * time.Second
	// maxFailures is how many requests a watcher may make in hostileTime while each
	// of them fails: a pause has to follow a failure.
	maxFailures = 100
	// Floods: many small entries, and 256 MiB in large ones.
	floodEntries, floodSize = 10_000, 100
	largeEntries, largeSize = 1_024, 256 << 10
	// maxLeft is by how many bytes the heap may have grown when a flood is over.
	maxLeft = 8 << 20
)

// The bounds of an endpoint; see discovery.Endpoint.
const (
	maxAddr  = 512
	maxZone  = 256
	maxAttrs = 128 << 10
	maxValue = 1 << 20 // of an entry
)

// RunHostile tests that nothing which a registry sends ends, stalls or bloats a
// watcher, in one subtest for each way to be hostile. The registry is usually a
// small server of the test's that speaks the protocol. Besides Watcher, Put and
// Close, which RunHostile requires, it uses Contradict, Endless, Storm, Restless,
// Flood, PutUnchecked, CountRequests and MaxMemory. Do not run it together with
// parallel tests: it measures the memory of the process.
func RunHostile(t *testing.T, newFixture func(t *testing.T) Fixture) {
	t.Helper()
	runAll(t, hostileRules(), newFixture)
}

func hostileRules() []rule {
	return []rule{
		{
			name:        "Contradiction",
			description: "a watcher survives answers that contradict themselves or one another, pauses after each, and goes on when they end",
			check: func(ctx context.Context, r *run) error {
				return checkHostile(ctx, r, "Contradict", r.Contradict, true)
			},
		},
		{
			name:        "EndlessAnswer",
			description: "a watcher gives up an answer that does not end, pauses, and goes on when they end",
			check: func(ctx context.Context, r *run) error {
				return checkHostile(ctx, r, "Endless", r.Endless, true)
			},
		},
		{
			name:        "EventStorm",
			description: "a watcher survives news without a pause, though nothing changes",
			check: func(ctx context.Context, r *run) error {
				return checkHostile(ctx, r, "Storm", r.Storm, false)
			},
		},
		{
			name:        "Restless",
			description: "a watcher survives a registry that holds something else at each look",
			check: func(ctx context.Context, r *run) error {
				return checkHostile(ctx, r, "Restless", r.Restless, false)
			},
		},
		{
			name:        "FloodOfEntries",
			description: "a watcher keeps nothing of 10,000 entries when they are gone",
			check: func(ctx context.Context, r *run) error {
				return checkHostile(ctx, r, "Flood", r.flood(floodEntries, floodSize), false)
			},
		},
		{
			name:        "FloodOfBytes",
			description: "a watcher does not hold 1,024 large values at a time",
			check: func(ctx context.Context, r *run) error {
				return checkHostile(ctx, r, "Flood", r.flood(largeEntries, largeSize), false)
			},
		},
		{
			name:        "Bounds",
			description: "an endpoint at each bound is reported; one above it costs its entry alone",
			check:       checkBounds,
		},
	}
}

func (r *run) flood(entries, size int) fault {
	if r.Flood == nil {
		return nil
	}
	return func(ctx context.Context) (func() error, error) { return r.Flood(ctx, entries, size) }
}

// checkHostile lets the registry be hostile to a watch that runs and to one that
// begins, and then behave again. What is reported meanwhile does not matter.
func checkHostile(ctx context.Context, r *run, field string, f fault, fails bool) error {
	if f == nil {
		return missing(field)
	}
	if err := r.put(ctx, eps(0, 3)...); err != nil {
		return err
	}
	before := leak.Goroutines()
	memory := leak.Measure()
	err := r.suffer(ctx, field, f, fails)
	grown := memory.Stop()
	switch {
	case err != nil:
		return err
	case grown > r.MaxMemory:
		return fmt.Errorf("the heap grew by %d bytes, more than MaxMemory, %d", grown, r.MaxMemory)
	}
	r.logf("the heap grew by %d KiB at most", grown>>10)
	return r.awaitGoroutines(ctx, before)
}

func (r *run) suffer(ctx context.Context, field string, f fault, fails bool) error {
	w, err := r.watcher()
	if err != nil {
		return err
	}
	running := r.watchLast(ctx, w)
	if err := running.await(eps(0, 3)); err != nil {
		return err
	}
	heap := leak.InUse()
	requests, err := r.requests(ctx)
	if err != nil {
		return err
	}
	restore, err := disturb(ctx, field, f)
	if err != nil {
		return err
	}
	err = r.beginAndEnd(ctx, field == "Flood")
	n, cerr := r.requests(ctx)
	if err := errors.Join(err, cerr, restore()); err != nil {
		return err
	}
	if fails && n-requests > maxFailures {
		return fmt.Errorf("the watchers made %d requests in %v, each of which failed", n-requests, hostileTime)
	}
	r.logf("the watchers made %d requests", n-requests)
	return r.recover(ctx, w, running, heap)
}

// requests returns the number of requests until now, zero if nobody counts.
func (r *run) requests(ctx context.Context) (int, error) {
	if r.CountRequests == nil {
		return 0, nil
	}
	n, err := r.CountRequests(ctx)
	return n, fieldError("CountRequests", err)
}

// beginAndEnd begins a watch of a hostile registry, which has to end in time. With
// toEnd, it first has the time to report.
func (r *run) beginAndEnd(ctx context.Context, toEnd bool) error {
	w, err := r.watcher()
	if err != nil {
		return err
	}
	begun := r.watchLast(ctx, w)
	if err := wait(ctx, hostileTime); err != nil {
		return err
	}
	if toEnd { // or as far as it gets
		r.poll(ctx, func() bool { now := begun.state(); return len(now.reports) > 0 || now.returned })
	}
	begun.cancel()
	return begun.awaitEnd()
}

// recover waits until the watch, or a new one if it has returned, reports the set
// that a registry holds which behaves again.
func (r *run) recover(ctx context.Context, w discovery.Watcher, s *stream, heap int64) error {
	want := eps(1, 5)
	if err := r.put(ctx, want...); err != nil {
		return err
	}
	arrived := func(reports [][]discovery.Endpoint) bool {
		return len(reports) > 0 && same(reports[len(reports)-1], want)
	}
	err := s.until("the set of a registry that behaves again", arrived)
	if err != nil && s.state().returned {
		s = r.watchLast(ctx, w)
		err = s.until("the set of a registry that behaves again", arrived)
	}
	if err != nil {
		return err
	}
	var left int64
	if !r.poll(ctx, func() bool { left = leak.InUse() - heap; return left < maxLeft }) {
		return fmt.Errorf("%d bytes more than before are in use", left)
	}
	return s.stop()
}

// checkBounds puts endpoints at each bound, and then those above.
func checkBounds(ctx context.Context, r *run) error {
	if r.PutUnchecked == nil {
		return missing("PutUnchecked")
	}
	zone, attrs := ep(4), ep(5)
	zone.Zone = strings.Repeat("z", maxZone)
	attrs.Attrs = map[string]string{"a": strings.Repeat("v", maxAttrs-1)}
	set := []discovery.Endpoint{ep(0), {Addr: strings.Repeat("h", maxAddr-5) + ":9090"}}
	for _, e := range []discovery.Endpoint{zone, attrs} { // unless the registry or the format has no such thing
		if err := r.put(ctx, e); err == nil {
			set = append(set, e)
		} else if !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	s, err := r.open(ctx)
	if err != nil {
		return err
	}
	if err := r.put(ctx, set...); err != nil {
		return err
	}
	if err := s.await(set, set, []discovery.Endpoint{zone}, []discovery.Endpoint{attrs}, nil); err != nil {
		return err
	}
	put := 0
	for what, e := range above() {
		switch err := r.PutUnchecked(ctx, e); {
		case errors.Is(err, errors.ErrUnsupported):
			r.logf("not checked: %s: %v", what, err)
			continue
		case err != nil:
			return fieldError("PutUnchecked", err)
		}
		put++
		if err := s.settle(set); err != nil {
			return fmt.Errorf("with %s: %w", what, err)
		}
	}
	r.logf("%d endpoints at a bound, %d above", len(set)-1, put)
	fresh, err := r.open(ctx)
	if err != nil {
		return err
	}
	if err := fresh.settle(set); err != nil {
		return err
	}
	if err := fresh.stop(); err != nil {
		return err
	}
	return s.stop()
}

// above returns endpoints that are not valid, by what is wrong with them.
func above() map[string]discovery.Endpoint {
	zone, attrs, entry := ep(6), ep(7), ep(8)
	zone.Zone = strings.Repeat("z", maxZone+1)
	attrs.Attrs = map[string]string{"a": strings.Repeat("v", maxAttrs)}
	entry.Attrs = map[string]string{"a": strings.Repeat("v", maxValue)}
	return map[string]discovery.Endpoint{
		"an address of too many bytes":        {Addr: strings.Repeat("h", maxAddr-4) + ":9090"},
		"an address with a control character": {Addr: "10.0.0.9\x1b[2J:9090"},
		"an address without a port":           {Addr: "10.0.0.10"},
		"an address with a port above 65535":  {Addr: "10.0.0.11:65536"},
		"a socket":                            {Addr: "unix:/run/echo.sock"},
		"a zone of too many bytes":            zone,
		"attributes of too many bytes":        attrs,
		"an entry of too many bytes":          entry,
	}
}

// GRPCNaming returns the value of an entry for e in the format of etcd's gRPC
// naming, also if e is not valid. It is for [Fixture.PutUnchecked].
func GRPCNaming(e discovery.Endpoint) string {
	metadata := maps.Clone(e.Attrs)
	if e.Zone != "" {
		metadata = map[string]string{"zone": e.Zone}
	}
	value, _ := json.Marshal(struct { // strings and a map of strings always can be written
		Op       int
		Addr     string
		Metadata map[string]string `json:",omitempty"`
	}{0, e.Addr, metadata})
	return string(value)
}
