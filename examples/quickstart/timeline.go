package main

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// timeline is what happened to the servers, and when the pool noticed. It is
// the pool's observer, and safe for concurrent use.
type timeline struct {
	start    time.Time
	registry bool // the pool's servers come and go

	mu      sync.Mutex
	events  []event
	subject string    // the server that is killed and started again
	since   time.Time // when that was done last
	what    string    // and what it was
}

type event struct {
	at   time.Duration // since the start
	text string
	tone tone
}

// began notes the first event.
func (t *timeline) began(servers []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.addLocked(plain, "servers: %s", strings.Join(servers, " "))
}

// serves notes where the page is that shows the pool.
func (t *timeline) serves(url string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.addLocked(plain, "the pool, live: %s", url)
}

// did notes what was just done to a server. What the pool then notices of that
// server is told relative to it.
func (t *timeline) did(what, server string, tone tone) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.subject, t.since, t.what = server, time.Now(), what
	t.addLocked(tone, "%s %s", server, what)
}

// saw notes what was seen of a server.
func (t *timeline) saw(server, what string, tone tone) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if server == t.subject {
		t.addLocked(tone, "%s %s, %s after it was %s", server, what, ms(time.Since(t.since)), t.what)
	} else {
		t.addLocked(tone, "%s %s", server, what)
	}
}

// lost notes that the pool cannot see the registry; it keeps its servers.
func (t *timeline) lost(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.addLocked(bad, "the registry is out of sight: %v", err)
}

func (t *timeline) addLocked(tone tone, format string, args ...any) {
	t.events = append(t.events, event{time.Since(t.start), fmt.Sprintf(format, args...), tone})
}

// Observe implements [core.Observer].
func (t *timeline) Observe(ev core.Event) {
	switch ev.Kind {
	case core.EventEndpointDown:
		t.saw(ev.Endpoint, "seen down by the pool", bad)
	case core.EventEndpointUp:
		t.saw(ev.Endpoint, "seen up by the pool", good)
	case core.EventEndpointAdded:
		if t.registry {
			t.saw(ev.Endpoint, "seen in the registry by the pool", good)
		}
	case core.EventEndpointRemoved:
		if t.registry {
			t.saw(ev.Endpoint, "gone from the registry, and from the pool", bad)
		}
	case core.EventWatchLost:
		t.lost(ev.Err)
	default: // dials, closed connections: too much for a timeline
	}
}

// from returns the events from the n-th on.
func (t *timeline) from(n int) []event {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]event(nil), t.events[n:]...)
}

func (e event) String() string { return fmt.Sprintf("%6.2f s  %s", e.at.Seconds(), e.text) }
