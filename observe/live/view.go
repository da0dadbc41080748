package live

import (
	"cmp"
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

// query is what a viewer wants to see.
type query struct {
	pool, words, sort string
	offset, limit     int
}

const defaultLimit, maxLimit, shownEvents = 50, 1000, 80

func parse(v url.Values) query {
	number := func(name string, otherwise, most int) int {
		if n, err := strconv.Atoi(v.Get(name)); err == nil && n >= 0 {
			return min(n, most)
		}
		return otherwise
	}
	return query{
		pool: v.Get("pool"), words: strings.ToLower(v.Get("q")), sort: v.Get("sort"),
		offset: number("offset", 0, math.MaxInt32), limit: number("limit", defaultLimit, maxLimit),
	}
}

// document returns what the last samples of all pools say.
func (p *Page) document(q query) Document {
	doc := Document{
		Time: time.Now(), Level: OK, Actions: p.actions, Process: filepath.Base(os.Args[0]), PID: os.Getpid(),
		Pools: []Summary{},
	}
	shown := p.shown()
	at := max(0, slices.IndexFunc(shown, func(o *Panel) bool { return o.name == q.pool }))
	for i, panel := range shown {
		var d *Detail
		var s Summary
		s, d = panel.view(q, i == at)
		doc.Pools = append(doc.Pools, s)
		if i == at {
			doc.Pool = d
		}
	}
	doc.Level, doc.Verdict = overall(doc.Pools)
	return doc
}

// view returns the panel's line and, if full, everything.
func (p *Panel) view(q query, full bool) (Summary, *Detail) {
	p.mu.Lock()
	defer p.mu.Unlock()
	st, h := &p.stats, &p.history
	s := Summary{
		Name: p.name, Servers: len(st.Endpoints), Waiting: st.Waiting,
		CallsPerSecond: h.pool.calls, FailuresPerSecond: h.pool.failures,
		RateChart: h.rate(&h.pool), FailureChart: h.failing(&h.pool), LatencyChart: h.latency(&h.pool),
	}
	if m := st.Metrics; m != nil {
		s.Calls, s.Failures = m.Leases, m.Calls.Failed+m.Calls.Overloaded
		s.P50, s.P99 = millis(m.Latency.Quantile(0.50)), millis(m.Latency.Quantile(0.99))
	}
	if n := len(s.LatencyChart); n > 0 && !math.IsNaN(s.LatencyChart[n-1]) {
		s.Latency = s.LatencyChart[n-1]
	}
	slow := slowness(st.Endpoints)
	rows := make([]row, 0, len(st.Endpoints))
	for i := range st.Endpoints {
		e := &st.Endpoints[i]
		r := row{e: e, t: h.servers[e.Endpoint.Addr], slow: slow > 0 && e.Latency > slow && !e.Down && !e.Ejected}
		s.InUse += e.InUse
		s.count(r)
		if full && r.matches(q.words) {
			rows = append(rows, r)
		}
	}
	s.judge(st)
	if !full {
		return s, nil
	}
	slices.SortFunc(rows, order(q.sort))
	d := &Detail{
		Name: p.name, Registry: registry(st, s), Matching: len(rows), Servers: []Server{}, Events: p.journal.newest(shownEvents),
	}
	d.Offset = min(q.offset, max(0, len(rows)-1))
	for _, r := range rows[d.Offset:min(len(rows), d.Offset+q.limit)] {
		d.Servers = append(d.Servers, p.serverLocked(r))
	}
	return s, d
}

// row is a server with what was sampled of it, nil above [maxServers].
type row struct {
	e    *core.EndpointStats
	t    *track
	slow bool
}

// slowness returns the latency above which a server is slow; 0 if there is none.
func slowness(all []core.EndpointStats) time.Duration {
	var latencies []time.Duration
	for i := range all {
		if e := &all[i]; !e.Down && !e.Ejected && e.Latency > 0 {
			latencies = append(latencies, e.Latency)
		}
	}
	if len(latencies) < 2 {
		return 0
	}
	slices.Sort(latencies)
	return max(3*latencies[(len(latencies)-1)/2], time.Millisecond)
}

func (r row) state() (string, Level) {
	switch {
	case r.e.Ejected:
		return "ejected", Bad
	case r.e.Down:
		return "down", Bad
	case r.slow:
		return "slow", Warn
	default:
		return "in service", OK
	}
}

func (r row) matches(words string) bool {
	if words == "" {
		return true
	}
	state, _ := r.state()
	text := strings.ToLower(r.e.Endpoint.Addr + " " + r.e.Endpoint.Zone + " " + state)
	for word := range strings.FieldsSeq(words) {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

func (r row) calls() float64 {
	if r.t == nil {
		return 0
	}
	return r.t.calls
}

func (r row) failures() float64 {
	if r.t == nil {
		return 0
	}
	return r.t.failures
}

// trouble is how much a server needs to be looked at.
func (r row) trouble() int {
	switch {
	case r.e.Ejected || r.e.Down:
		return 3
	case r.slow:
		return 2
	case r.failures() > 0:
		return 1
	default:
		return 0
	}
}

// order returns a way to sort servers; what is equal is sorted by address.
func order(by string) func(a, b row) int {
	most := func(f func(r row) float64) func(a, b row) int {
		return func(a, b row) int {
			return cmp.Or(cmp.Compare(f(b), f(a)), cmp.Compare(a.e.Endpoint.Addr, b.e.Endpoint.Addr))
		}
	}
	switch by {
	case "address":
		return most(func(row) float64 { return 0 })
	case "share":
		return most(row.calls)
	case "latency":
		return most(func(r row) float64 { return float64(r.e.Latency) })
	case "errors":
		return most(func(r row) float64 { return float64(countsOf(0, r.e.Metrics).failures) })
	case "in_use":
		return most(func(r row) float64 { return float64(r.e.InUse) })
	default:
		return most(func(r row) float64 { return float64(r.trouble()) })
	}
}

func (p *Panel) serverLocked(r row) Server {
	e, n := r.e, p.journal.at(r.e.Endpoint.Addr)
	s := Server{
		Addr: e.Endpoint.Addr, Weight: e.Endpoint.Weight, Zone: e.Endpoint.Zone, Attrs: e.Endpoint.Attrs, Down: e.Down,
		Calls: e.Calls, CallsPerSecond: r.calls(), FailuresPerSecond: r.failures(), Latency: millis(e.Latency),
		InUse: e.InUse, Limit: p.stats.Limit, Idle: e.Idle, Open: e.Open, Dialing: e.Dialing, Closing: e.Closing,
		Dials: e.Dials, DialFailures: e.DialFailures, Closed: e.Closed,
		Ejection: n.ejection, Readmission: n.readmission, Failure: n.failure,
	}
	if s.Weight == 0 {
		s.Weight = 1
	}
	s.State, s.Level = r.state()
	if e.LastDial != nil {
		s.LastDial = clip(e.LastDial.Error(), maxCause)
	}
	if m := e.Metrics; m != nil {
		s.Failures = m.Failed + m.Overloaded
		s.OK, s.Failed, s.Overloaded, s.Neutral, s.Canceled = m.OK, m.Failed, m.Overloaded, m.Neutral, m.Canceled
		s.Retries, s.Hedges, s.HedgesWon, s.Ejections, s.Probes = m.Retries, m.Hedges, m.HedgesWon, m.Ejections, m.Probes
	}
	if r.t != nil {
		if all := p.history.pool.calls; all > 0 {
			s.Share = min(1, r.t.calls/all)
		}
		s.ShareChart, s.LatencyChart = p.history.share(r.t), p.history.latency(r.t)
	}
	return s
}

// registry returns what is known from the registry.
func registry(st *core.Stats, s Summary) Registry {
	r := Registry{State: st.State, Since: st.Since, Rejected: st.Rejected, Servers: s.Servers, Disagreements: []string{}}
	differs := func(n int, format string, args ...any) {
		if n > 0 {
			r.Disagreements = append(r.Disagreements, fmt.Sprintf(format, args...))
		}
	}
	if st.LastWatch != nil {
		r.Error, r.Doctor = clip(st.LastWatch.Error(), maxCause), discovery.Doctor
	}
	if st.Warning != nil {
		r.Warning = clip(st.Warning.Error(), maxCause)
	}
	differs(s.Down, "The registry has %s that cannot be dialed.", count(s.Down, "server"))
	differs(s.Ejected, "The registry has %s that the pool has ejected.", count(s.Ejected, "server"))
	differs(int(st.Rejected), "The pool dropped %s of the registry.", count(int(st.Rejected), "entry"))
	if st.State == core.StateStale {
		differs(1, "The pool has lost sight of the registry and uses the last known set.")
	}
	return r
}
