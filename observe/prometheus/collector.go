package promobserver

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/metrics"
)

// DefaultMaxEndpoints is how many endpoints of a pool have series of their own,
// unless [MaxEndpoints] is given.
const DefaultMaxEndpoints = 200

// Pool is what a [Collector] needs of a pool; every *core.Pool is one.
type Pool interface {
	// Measure is called once.
	Measure()
	// Stats is called for each scrape.
	Stats() core.Stats
}

// Collector is a [prometheus.Collector] for any number of pools. It is safe for
// concurrent use.
type Collector struct {
	maxEndpoints int

	mu    sync.Mutex
	pools map[string]source
}

type source struct {
	pool  Pool
	since time.Time
}

// Option sets one parameter of [New].
type Option func(*Collector)

// MaxEndpoints sets how many endpoints a pool may have so that each has series of
// its own, about 20; 0 is none. The default is [DefaultMaxEndpoints].
func MaxEndpoints(n int) Option { return func(c *Collector) { c.maxEndpoints = n } }

// New returns a collector without pools.
func New(opts ...Option) *Collector {
	c := &Collector{maxEndpoints: DefaultMaxEndpoints, pools: map[string]source{}}
	for _, o := range opts {
		if o != nil {
			o(c)
		}
	}
	return c
}

// Add adds a pool, whose metrics have the name as their label pool, and makes it
// measure its calls. The error says that the collector has a pool of that name
// already, or that the name is empty or not UTF-8.
func (c *Collector) Add(name string, p Pool) error {
	if name == "" || strings.ToValidUTF8(name, "") != name {
		return fmt.Errorf("promobserver: pool %q: a name is UTF-8 and not empty", name)
	}
	if p == nil {
		return fmt.Errorf("promobserver: pool %q: it is nil", name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.pools[name]; ok {
		return fmt.Errorf("promobserver: pool %q: there is a pool of that name already", name)
	}
	p.Measure()
	c.pools[name] = source{p, time.Now()}
	return nil
}

// Remove removes the pool of that name, if there is one, as after its Close.
func (c *Collector) Remove(name string) {
	c.mu.Lock()
	delete(c.pools, name)
	c.mu.Unlock()
}

// Describe implements [prometheus.Collector].
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range descs() {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	pools := maps.Clone(c.pools)
	c.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(pools)) {
		s := pools[name]
		out := sink{ch: ch, labels: []string{name}, since: s.since}
		st := s.pool.Stats()
		out.pool(st)
		if len(st.Endpoints) > c.maxEndpoints {
			out.gauge(endpointsOmitted, float64(len(st.Endpoints)))
			continue
		}
		out.gauge(endpointsOmitted, 0)
		for _, e := range st.Endpoints {
			out.labels = []string{name, strings.ToValidUTF8(e.Endpoint.Addr, "\uFFFD")}
			out.endpoint(e)
		}
	}
}

// sink sends metrics with certain labels.
type sink struct {
	ch     chan<- prometheus.Metric
	labels []string
	since  time.Time // when counting began
}

func (s sink) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, slices.Concat(s.labels, labels)...)
}

func (s sink) counter(d *prometheus.Desc, v uint64, labels ...string) {
	s.ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), slices.Concat(s.labels, labels)...)
}

func (s sink) flag(d *prometheus.Desc, on bool, labels ...string) {
	v := 0.
	if on {
		v = 1
	}
	s.gauge(d, v, labels...)
}

func (s sink) pool(st core.Stats) {
	for _, state := range []core.State{core.StatePending, core.StateReady, core.StateEmpty, core.StateStale} {
		s.flag(registryState, st.State == state, string(state))
	}
	s.gauge(registryChanged, float64(st.Since.UnixMilli())/1000)
	s.counter(registryRejected, st.Rejected)
	s.gauge(waitingCalls, float64(st.Waiting))
	var idle, inUse, dialing, closing, down, ejected int
	for _, e := range st.Endpoints {
		idle, inUse, dialing, closing = idle+e.Idle, inUse+e.InUse, dialing+e.Dialing, closing+e.Closing
		switch {
		case e.Down:
			down++
		case e.Ejected:
			ejected++
		}
	}
	s.gauge(connections, float64(idle), "idle")
	s.gauge(connections, float64(inUse), "in_use")
	s.gauge(connections, float64(dialing), "dialing")
	s.gauge(connections, float64(closing), "closing")
	s.gauge(endpoints, float64(len(st.Endpoints)-down-ejected), "available")
	s.gauge(endpoints, float64(ejected), "ejected")
	s.gauge(endpoints, float64(down), "down")
	m := st.Metrics
	if m == nil { // a Pool of the user's
		m = new(metrics.Pool)
	}
	s.calls(all, m.Calls)
	s.counter(all.dials, m.Dials, "ok")
	s.counter(all.dials, m.DialFailures, "failed")
	s.counter(leases, m.Leases)
	s.counter(connectionsClosed, m.Closed)
	s.counter(withoutConnection, m.Exhausted, "exhausted")
	s.counter(withoutConnection, m.Unavailable, "unavailable")
	s.counter(withoutConnection, m.NoEndpoint, "no_endpoint")
	s.histogram(callDuration, &m.Latency, "ok")
	s.histogram(callDuration, &m.FailureLatency, "other")
	s.histogram(waitDuration, &m.Wait)
}

func (s sink) endpoint(e core.EndpointStats) {
	s.flag(endpointDown, e.Down)
	s.flag(endpointEjected, e.Ejected)
	s.gauge(endpointConnections, float64(e.Idle), "idle")
	s.gauge(endpointConnections, float64(e.InUse), "in_use")
	s.counter(each.dials, e.Dials, "ok")
	s.counter(each.dials, e.DialFailures, "failed")
	if m := e.Metrics; m != nil {
		s.calls(each, *m)
		s.ch <- prometheus.MustNewConstSummary(endpointAnswers, m.Answers, m.AnswerTime.Seconds(), nil, s.labels...)
	}
}

func (s sink) calls(d callDescs, c metrics.Calls) {
	s.counter(d.calls, c.OK, "ok")
	s.counter(d.calls, c.Failed, "failure")
	s.counter(d.calls, c.Overloaded, "overload")
	s.counter(d.calls, c.Neutral, "neutral")
	s.counter(d.calls, c.Canceled, "canceled")
	s.counter(d.retries, c.Retries)
	s.counter(d.hedges, c.HedgesWon, "won")
	s.counter(d.hedges, c.HedgesFailed, "failed")
	s.counter(d.hedges, c.Hedges-min(c.Hedges, c.HedgesWon+c.HedgesFailed), "lost") // they may be read in between
	s.counter(d.ejections, c.Ejections)
	s.counter(d.probes, c.Probes)
}
