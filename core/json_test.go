package core_test

import (
	"encoding/json"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// fields is v as a monitoring system reads it.
func fields(t *testing.T, v any) map[string]any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return m
}

func TestStatsAsJSONCanBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		f.server("a:1").dialed(refuse)
		p := f.pool()
		if _, err := p.Get(t.Context()); !errors.Is(err, core.ErrUnavailable) {
			t.Fatal(err)
		}
		st := p.Stats()
		st.LastWatch, st.WaitTime, st.Endpoints[0].Latency = io.ErrUnexpectedEOF, 1500*time.Millisecond, 2*time.Millisecond
		m := fields(t, st)
		for name, want := range map[string]any{"State": "ready", "LastWatch": "unexpected EOF", "WaitTime": "1.5s", "Waiting": 0.} {
			if m[name] != want {
				t.Errorf("%s is %v, want %v", name, m[name], want)
			}
		}
		for _, e := range []map[string]any{m["Endpoints"].([]any)[0].(map[string]any), fields(t, st.Endpoints[0])} {
			for name, want := range map[string]any{"Down": true, "LastDial": "core: dial a:1: connection refused", "Latency": "2ms", "DialFailures": 1.} {
				if e[name] != want {
					t.Errorf("%s is %v, want %v", name, e[name], want)
				}
			}
			if a := e["Endpoint"].(map[string]any)["Addr"]; a != "a:1" {
				t.Errorf("the address is %v", a)
			}
		}
		if m := fields(t, core.Stats{}); m["LastWatch"] != nil {
			t.Errorf("without an error there is %v", m["LastWatch"])
		}
	})
}

// An event has a state only if it is about one.
func TestEventsAsJSONCanBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		j := new(journal)
		p := f.pool(core.WithObserver(j.Observe))
		warm(t, p, 1)
		p.Reset()
		synctest.Wait()
		f.report()
		for _, ev := range append(j.events, core.Event{Kind: core.EventDialFailed, Endpoint: "a:1", Err: errRefused, Duration: time.Second}) {
			m := fields(t, ev)
			if changed := ev.Kind == core.EventStateChanged; (m["State"] != nil) != changed || (ev.State != "") != changed {
				t.Errorf("the state of %s is %q: %v", ev.Kind, ev.State, m)
			}
			if m["Kind"] == "" || m["Kind"] != string(ev.Kind) {
				t.Errorf("%v: the kind of %s", m, ev.Kind)
			}
			if ev.Kind == core.EventDialFailed && (m["Err"] != "connection refused" || m["Duration"] != "1s") {
				t.Errorf("a dial that failed is %v", m)
			}
		}
		if len(j.of(core.EventStateChanged)) == 0 || len(j.of(core.EventConnClosed)) == 0 {
			t.Errorf("the test has seen %d events and shows nothing", len(j.events))
		}
	})
}
