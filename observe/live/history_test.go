package live

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/metrics"
)

func endpoint(addr string, calls, failed uint64, took time.Duration) core.EndpointStats {
	return core.EndpointStats{
		Endpoint: core.Endpoint{Addr: addr}, Calls: calls,
		Metrics: &metrics.Calls{OK: calls - failed, Failed: failed, Answers: calls - failed, AnswerTime: took},
	}
}

func stats(all ...core.EndpointStats) core.Stats {
	m := new(metrics.Pool)
	for _, e := range all {
		m.Calls.Add(*e.Metrics)
		m.Leases += e.Calls
	}
	return core.Stats{State: core.StateReady, Endpoints: all, Metrics: m}
}

func TestChartsHaveShareLatencyAndRateOfEachFiveSeconds(t *testing.T) {
	var h history
	now := time.Now()
	// What was counted before the page is on no chart; the server that joins has all of its calls there.
	h.add(now, stats(endpoint("a:1", 1000, 0, time.Hour)))
	h.add(now.Add(4*time.Second), stats(endpoint("a:1", 1030, 10, time.Hour+40*time.Millisecond), endpoint("b:1", 10, 0, 100*time.Millisecond)))
	h.add(now.Add(5*time.Second), stats(endpoint("a:1", 1030, 10, time.Hour+40*time.Millisecond), endpoint("b:1", 20, 0, 300*time.Millisecond)))
	for name, c := range map[string]struct {
		got  Chart
		want string
	}{
		"share of a":   {h.share(h.servers["a:1"]), "[0.75,0]"},
		"share of b":   {h.share(h.servers["b:1"]), "[0.25,1]"},
		"latency of a": {h.latency(h.servers["a:1"]), "[2,null]"},
		"latency of b": {h.latency(h.servers["b:1"]), "[10,20]"},
		"rate":         {h.rate(&h.pool), "[10,10]"},
		"failures":     {h.failing(&h.pool), "[2.5,0]"},
	} {
		if got, err := json.Marshal(c.got); err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v; want %s", name, got, err, c.want)
		}
	}
	if a := h.servers["a:1"]; a.calls != 0 || h.servers["b:1"].calls != 10 {
		t.Errorf("calls per second: %v and %v", a.calls, h.servers["b:1"].calls)
	}
}

func TestChartsHaveSixtyPoints(t *testing.T) {
	var h history
	now := time.Now()
	for i := range uint64(200) {
		h.add(now.Add(time.Duration(i)*interval), stats(endpoint("a:1", i*i, 0, 0)))
	}
	rate := h.rate(&h.pool)
	if len(rate) != points || math.Abs(rate[points-1]-float64(199*199-198*198)/5) > 0.01 || math.Abs(rate[0]-float64(140*140-139*139)/5) > 0.01 {
		t.Errorf("%d points, %v", len(rate), rate)
	}
}

func TestServerThatLeavesAndReturnsCountsFromZero(t *testing.T) {
	var h history
	now := time.Now()
	h.add(now, stats(endpoint("a:1", 1000, 0, time.Second)))
	h.add(now.Add(time.Second), stats(endpoint("a:1", 7, 0, time.Millisecond)))
	if got := h.servers["a:1"].calls; got != 7 {
		t.Errorf("%v calls per second", got)
	}
}

func TestFleetThatChangesAllItsServersEachMinuteLeavesNothingBehind(t *testing.T) {
	page := New()
	defer page.Close()
	panel := page.Panel("users")
	now := time.Now()
	const servers = 500
	for minute := range 30 {
		var all []core.EndpointStats
		for i := range servers {
			addr := fmt.Sprintf("h%d-%d:1", minute, i)
			all = append(all, endpoint(addr, uint64(i), 0, 0))
			for _, kind := range []core.EventKind{core.EventEndpointAdded, core.EventDialFailed, core.EventEndpointEjected} {
				panel.Observe(core.Event{Time: now, Kind: kind, Endpoint: addr, Err: errors.New(strings.Repeat("x", 10_000))})
			}
		}
		now = now.Add(time.Minute)
		panel.stats = stats(all...)
		panel.history.add(now, panel.stats)
		panel.journal.keep(panel.history.has)
	}
	if n := len(panel.history.servers); n != servers {
		t.Errorf("%d servers have a history, %d are there", n, servers)
	}
	if n := len(panel.journal.notes); n > 2*servers { // those of the minute before are forgotten next
		t.Errorf("%d servers have notes, %d are there", n, servers)
	}
	if n := len(panel.journal.events); n > maxEvents {
		t.Errorf("%d events", n)
	}
	for _, e := range panel.journal.newest(maxEvents) {
		if len(e.Cause) > maxCause+len("…") {
			t.Fatalf("a cause of %d bytes", len(e.Cause))
		}
	}
}

func TestOnlySoManyServersHaveAHistory(t *testing.T) {
	var h history
	var all []core.EndpointStats
	for i := range maxServers + 100 {
		all = append(all, endpoint(fmt.Sprintf("h%d:1", i), 1, 0, 0))
	}
	now := time.Now()
	h.add(now, stats(all...))
	if len(h.servers) != maxServers {
		t.Errorf("%d servers have a history", len(h.servers))
	}
	// One that gets its history late has counted before.
	h.add(now.Add(time.Second), stats(all[100:]...))
	h.add(now.Add(2*time.Second), stats(all[100:]...))
	if late := h.servers[all[len(all)-1].Endpoint.Addr]; late == nil || late.points[h.slot].calls != 0 {
		t.Errorf("the last server has %+v", late)
	}
}

func TestRepeatsAreToldOnce(t *testing.T) {
	j := newJournal()
	at := time.Now()
	add := func(kind core.EventKind, addr string, after time.Duration) {
		at = at.Add(after)
		j.add(core.Event{Time: at, Kind: kind, Endpoint: addr, Err: errors.New(addr)})
	}
	for i := range 12 {
		add(core.EventEndpointAdded, fmt.Sprintf("h%d:1", i), 0)
	}
	for range 5 {
		add(core.EventDialFailed, "h1:1", time.Second)
		add(core.EventDialFailed, "h2:1", 0)
	}
	add(core.EventEndpointEjected, "h1:1", 0)
	add(core.EventEndpointEjected, "h1:1", 0)
	add(core.EventDialFailed, "h1:1", 2*together)
	var got []string
	for _, e := range j.newest(100) {
		got = append(got, fmt.Sprintf("%s %s %d %d", e.Kind, e.Server, e.Count, e.Servers))
	}
	want := "dial failed h1:1 1 1, endpoint ejected h1:1 1 1, endpoint ejected h1:1 1 1, dial failed h2:1 5 1, dial failed h1:1 5 1, endpoint added h11:1 12 12"
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("got %s\nwant %s", s, want)
	}
	if j.add(core.Event{Kind: core.EventDialed}) || j.add(core.Event{Kind: core.EventConnClosed}) {
		t.Error("what happens all the time is told")
	}
}
