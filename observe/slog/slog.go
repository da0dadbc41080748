// Package slogobserver logs what happens in a pool, with log/slog: one line for
// each event that the person on call wants to see.
//
//	pool, err := core.New(watcher, dialer, core.WithObserver(slogobserver.New(logger.With("pool", "users"))))
//
// Nothing is logged per call. What each event is logged at:
//
//	Error  the watch of the registry is lost, the balancer failed
//	Warn   an endpoint is ejected, down, or was rejected; a dial failed; an ejection is suppressed; a lease
//	       leaked; the registry fails, or has something odd; the set is empty or stale
//	Info   an endpoint was added or removed, is up again or readmitted; the set is known
//	Debug  a connection was opened or closed
//
// Repeats are bounded. In each minute, the first event of a kind at an endpoint is
// logged at once, and at the end of the minute the last one, with the number of
// those between as "repeated". Of the endpoints that one kind concerns in a minute,
// the first 20 have lines of their own; the others share one.
package slogobserver

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

const (
	// interval is how long an event keeps others of its kind at its endpoint from
	// being logged.
	interval = time.Minute
	// maxEndpoints is how many endpoints have lines of their own, per kind and
	// interval.
	maxEndpoints = 20
)

// New returns an observer for [core.WithObserver] that logs to l; nil is
// slog.Default(), as it is then. The attributes of a line are endpoint, error and
// state; took, lasted or first_probe_in for durations; calls, failures and baseline
// of an ejection, probes of a readmission; stack of a leak; doctor, the command that
// finds out why a registry fails ([discovery.Doctor]); and repeated. l may have others,
// such as the name of the pool. An observer may serve several pools.
func New(l *slog.Logger) func(core.Event) {
	if l == nil {
		l = slog.Default()
	}
	return (&observer{handler: l.Handler(), recent: map[key]*entry{}, endpoints: map[core.EventKind]int{}}).observe
}

// key is what repeats are counted by.
type key struct {
	kind     core.EventKind
	endpoint string
}

// entry is a kind of event at an endpoint that was logged a short time ago.
type entry struct {
	repeats int
	last    core.Event // of the repeats
}

type observer struct {
	handler slog.Handler

	mu     sync.Mutex
	recent map[key]*entry
	// endpoints counts the keys in recent by their kind.
	endpoints map[core.EventKind]int
}

func (o *observer) observe(ev core.Event) {
	if !o.handler.Enabled(context.Background(), level(ev)) {
		return
	}
	if o.first(ev) {
		o.log(ev, 0)
	}
}

// first reports whether the event is to be logged now. Others are logged when their
// interval is over.
func (o *observer) first(ev core.Event) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if ev.Kind == core.EventStateChanged { // which alternates, and seldom
		return true
	}
	k, own := key{ev.Kind, ev.Endpoint}, true
	e := o.recent[k]
	if e == nil && o.endpoints[ev.Kind] >= maxEndpoints {
		k.endpoint, own = "others", false
		e = o.recent[k]
	}
	if e == nil {
		e = new(entry)
		o.recent[k] = e
		o.endpoints[ev.Kind]++
		time.AfterFunc(interval, func() { o.over(k) })
		if own {
			return true
		}
	}
	e.repeats++
	e.last = ev
	return false
}

// over logs the last of the repeats of an interval, if there were any: then another
// interval begins.
func (o *observer) over(k key) {
	o.mu.Lock()
	e := o.recent[k]
	repeats, last := e.repeats, e.last
	if repeats == 0 {
		delete(o.recent, k)
		o.endpoints[k.kind]--
	} else {
		*e = entry{}
		time.AfterFunc(interval, func() { o.over(k) })
	}
	o.mu.Unlock()
	if repeats > 0 {
		o.log(last, repeats)
	}
}

func (o *observer) log(ev core.Event, repeats int) {
	r := slog.NewRecord(ev.Time, level(ev), string(ev.Kind), 0)
	add := func(name, value string) {
		if value != "" {
			r.AddAttrs(slog.String(name, value))
		}
	}
	add("endpoint", ev.Endpoint)
	add("state", string(ev.State))
	if ev.Err != nil {
		add("error", ev.Err.Error())
	}
	if ev.Duration != 0 {
		r.AddAttrs(slog.Duration(durationName(ev.Kind), ev.Duration))
	}
	if e := ev.Evidence; e != nil && ev.Kind == core.EventEndpointReadmitted {
		r.AddAttrs(slog.Uint64("probes", e.Probes))
	} else if e != nil {
		r.AddAttrs(slog.Uint64("calls", e.Calls), slog.Uint64("failures", e.Failures), slog.Float64("baseline", e.Baseline))
	}
	add("stack", ev.Stack)
	if repeats == 0 && (ev.Kind == core.EventWatchLost || ev.Kind == core.EventWatchFailing) {
		add("doctor", discovery.Doctor)
	}
	if repeats > 0 {
		r.AddAttrs(slog.Int("repeated", repeats))
	}
	_ = o.handler.Handle(context.Background(), r) // as slog.Logger does
}

// durationName says what the duration of an event is.
func durationName(kind core.EventKind) string {
	switch kind {
	case core.EventEndpointEjected:
		return "first_probe_in"
	case core.EventEndpointReadmitted, core.EventLeaseLeaked:
		return "lasted"
	default:
		return "took"
	}
}

func level(ev core.Event) slog.Level {
	switch ev.Kind {
	case core.EventDialed, core.EventConnClosed:
		return slog.LevelDebug
	case core.EventEndpointAdded, core.EventEndpointRemoved, core.EventEndpointUp, core.EventEndpointReadmitted:
		return slog.LevelInfo
	case core.EventStateChanged:
		if ev.State == core.StateReady {
			return slog.LevelInfo
		}
		return slog.LevelWarn
	case core.EventWatchLost, core.EventBalancerFailed:
		return slog.LevelError
	case core.EventEndpointRejected, core.EventEndpointDown, core.EventDialFailed, core.EventLeaseLeaked, core.EventWatchFailing, core.EventWatchWarning,
		core.EventEndpointEjected, core.EventEjectionSuppressed:
		return slog.LevelWarn
	default: // that this package does not know
		return slog.LevelWarn
	}
}
