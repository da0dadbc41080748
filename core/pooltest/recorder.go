package pooltest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/minicaptain/multi_connection_pool/core"
)

// Recorder keeps the events of a pool: core.WithObserver(recorder.Observe). The
// zero Recorder is ready to use. It is safe for concurrent use.
type Recorder struct {
	mu     sync.Mutex
	events []core.Event
	more   chan struct{} // closed by the next event; made by who waits for it
}

// Observe records an event.
func (r *Recorder) Observe(e core.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	if r.more != nil {
		close(r.more)
		r.more = nil
	}
}

// Events returns the events of these kinds in the order in which they happened;
// without kinds, all.
func (r *Recorder) Events(kinds ...core.EventKind) []core.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var some []core.Event
	for _, e := range r.events {
		if len(kinds) == 0 || slices.Contains(kinds, e.Kind) {
			some = append(some, e)
		}
	}
	return some
}

// Wait returns the first event of a kind at an endpoint, whose address is "" for
// events of the whole pool, and waits for it if need be. Its error has the cause of
// ctx, and the last event that there was instead.
func (r *Recorder) Wait(ctx context.Context, kind core.EventKind, endpoint string) (core.Event, error) {
	for seen := 0; ; {
		r.mu.Lock()
		for _, e := range r.events[seen:] {
			if e.Kind == kind && e.Endpoint == endpoint {
				r.mu.Unlock()
				return e, nil
			}
		}
		seen = len(r.events)
		if r.more == nil {
			r.more = make(chan struct{})
		}
		more := r.more
		r.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			last := "none at all"
			if all := r.Events(); len(all) > 0 {
				e := all[len(all)-1]
				last = fmt.Sprintf("the last of %d is %q of %q", len(all), e.Kind, e.Endpoint)
			}
			return core.Event{}, fmt.Errorf("pooltest: no event %q of %q: %w; %s", kind, endpoint, context.Cause(ctx), last)
		}
	}
}
