package live

import (
	"math"
	"strconv"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/metrics"
)

// maxServers is how many servers of a pool have charts.
const maxServers = 1 << 14

// history is what was sampled of a pool in the last five minutes. The points of all
// its tracks are at the same places of their rings.
type history struct {
	begun    time.Time // of the present point; zero: nothing was sampled
	sampled  time.Time
	based    time.Time // when rates were last computed
	slot     int       // of the present point
	filled   int       // points that there are
	seconds  [points]float32
	pool     track
	servers  map[string]*track
	complete bool   // every server of the last sample has a track
	sample   uint64 // counts samples
}

// track is the past of one server, or of the whole pool.
type track struct {
	seen       uint64
	last, base counts // at the last sample, and when rates were last computed
	points     [points]point
	// Per second, over the last second or so.
	calls, failures float64
}

// point is what happened in five seconds.
type point struct {
	calls, failures, answers uint32
	millis                   float32 // that the answers took in all
}

// counts are counters that only grow, until their server leaves.
type counts struct {
	calls, failures, answers uint64
	took                     time.Duration
}

func countsOf(calls uint64, m *metrics.Calls) counts {
	c := counts{calls: calls}
	if m != nil { // else it is a Pool of the user's
		c.failures, c.answers, c.took = m.Failed+m.Overloaded, m.Answers, m.AnswerTime
	}
	return c
}

// since returns what was counted after o. A server that left and came back counts
// from zero.
func (c counts) since(o counts) counts {
	if c.calls < o.calls || c.failures < o.failures || c.answers < o.answers {
		return c
	}
	return counts{c.calls - o.calls, c.failures - o.failures, c.answers - o.answers, max(0, c.took-o.took)}
}

// has reports whether a server has a track.
func (h *history) has(addr string) bool { return h.servers[addr] != nil }

// add takes in a sample.
func (h *history) add(now time.Time, st core.Stats) {
	first := h.begun.IsZero()
	if first {
		h.begun, h.sampled, h.based, h.filled = now, now, now, 1
		h.servers = map[string]*track{}
	}
	next := now.Sub(h.begun) >= interval
	if next {
		h.begun, h.slot, h.filled = now, (h.slot+1)%points, min(points, h.filled+1)
		h.seconds[h.slot] = 0
	}
	h.seconds[h.slot] += float32(now.Sub(h.sampled).Seconds())
	h.sampled = now
	var over float64
	if d := now.Sub(h.based); d >= watched-50*time.Millisecond { // a timer may be early by little
		h.based, over = now, d.Seconds()
	}
	h.sample++

	known := h.complete
	h.complete = true
	for i := range st.Endpoints {
		e := &st.Endpoints[i]
		c := countsOf(e.Calls, e.Metrics)
		t := h.servers[e.Endpoint.Addr]
		if t == nil {
			if len(h.servers) >= maxServers {
				h.complete = false
				continue
			}
			t = new(track)
			if !known { // it may have counted for long
				t.last, t.base = c, c
			}
			h.servers[e.Endpoint.Addr] = t
		}
		h.record(t, c, next, over)
	}
	var m *metrics.Calls
	var leases uint64
	if st.Metrics != nil {
		m, leases = &st.Metrics.Calls, st.Metrics.Leases
	}
	c := countsOf(leases, m)
	if first {
		h.pool.last, h.pool.base = c, c
	}
	h.record(&h.pool, c, next, over)
	for addr, t := range h.servers {
		if t.seen != h.sample {
			delete(h.servers, addr)
		}
	}
}

func (h *history) record(t *track, c counts, next bool, over float64) {
	t.seen = h.sample
	at := &t.points[h.slot]
	if next {
		*at = point{}
	}
	d := c.since(t.last)
	t.last = c
	at.calls += uint32(min(d.calls, math.MaxUint32))
	at.failures += uint32(min(d.failures, math.MaxUint32))
	at.answers += uint32(min(d.answers, math.MaxUint32))
	at.millis += float32(millis(d.took))
	if over > 0 {
		d := c.since(t.base)
		t.base = c
		t.calls, t.failures = float64(d.calls)/over, float64(d.failures)/over
	}
}

// chart returns one number per point, the oldest first.
func (h *history) chart(t *track, f func(p point, slot int) float64) Chart {
	c := make(Chart, h.filled)
	for i := range c {
		slot := (h.slot - h.filled + 1 + i + points) % points
		c[i] = f(t.points[slot], slot)
	}
	return c
}

func (h *history) share(t *track) Chart {
	return h.chart(t, func(p point, slot int) float64 {
		return ratio(float64(p.calls), float64(h.pool.points[slot].calls))
	})
}

func (h *history) latency(t *track) Chart {
	return h.chart(t, func(p point, _ int) float64 { return ratio(float64(p.millis), float64(p.answers)) })
}

func (h *history) rate(t *track) Chart {
	return h.chart(t, func(p point, slot int) float64 { return ratio(float64(p.calls), float64(h.seconds[slot])) })
}

func (h *history) failing(t *track) Chart {
	return h.chart(t, func(p point, slot int) float64 { return ratio(float64(p.failures), float64(h.seconds[slot])) })
}

// ratio returns NaN for nothing of nothing.
func ratio(a, b float64) float64 {
	if b <= 0 {
		return math.NaN()
	}
	return a / b
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Chart is one number for each five seconds of the last five minutes, the oldest
// first; the last one is that of the five seconds under way. NaN, null in JSON, means
// that there was nothing to measure.
type Chart []float64

// MarshalJSON has three digits of each number.
func (c Chart) MarshalJSON() ([]byte, error) {
	b := []byte{'['}
	for i, v := range c {
		if i > 0 {
			b = append(b, ',')
		}
		if math.IsNaN(v) || math.IsInf(v, 0) {
			b = append(b, "null"...)
		} else {
			b = strconv.AppendFloat(b, v, 'g', 3, 64)
		}
	}
	return append(b, ']'), nil
}
