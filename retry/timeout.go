package retry

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	// An attempt is given up after manyTimes what 99 of a hundred answers of its
	// method take, twice the longest one that is remembered, and usualLimit, whatever
	// is longest: answers that late come from servers that are stopped or cut off.
	manyTimes  = 10
	usualLimit = 100 * time.Millisecond
	// Where that would leave no time for the attempts after it, the attempt gets an
	// equal part of what is left, but no less than fewTimes what 99 of a hundred
	// answers take, five quarters of the longest, and leastLimit: pauses of the
	// machine are no failures.
	fewTimes   = 3
	leastLimit = 10 * time.Millisecond
	// minAnswers is how many answers of a method must be known before any of its
	// attempts is given up.
	minAnswers = 20
	// longestDecay is how fast the longest answer is forgotten, per tick with
	// answers: half of it in five minutes.
	longestDecay = 0.99977

	methodBits = 8
)

// timeouts is how long the attempts of calls may take, by method. Methods share
// a record where their hashes collide. It is safe for concurrent use, tick not
// with itself.
type timeouts [1 << methodBits]atomic.Pointer[method]

// method is what is known of how long the answers of a method take.
type method struct {
	latencies histogram
	// news means that there was an answer since the last tick.
	news atomic.Bool
	// longest is the longest answer, as far as it is not forgotten; limit is how long
	// an attempt may take if the call has time enough, 0: for ever; most is what
	// 99 of a hundred answers take. All are in ns.
	longest, limit, most atomic.Int64
	ticks                int
}

func (t *timeouts) of(hash uint64) *method {
	const golden = 0x9e3779b97f4a7c15 // the hash may be an address
	at := &t[hash*golden>>(64-methodBits)]
	m := at.Load()
	if m == nil {
		at.CompareAndSwap(nil, new(method))
		m = at.Load()
	}
	return m
}

// answered takes the latency of an answer.
func (m *method) answered(d time.Duration) {
	m.latencies.add(d)
	if !m.news.Load() {
		m.news.Store(true)
	}
	m.slow(d)
}

// lost notes that a call got no answer after an attempt was given up after d, 0 if
// none was: perhaps the answer would have come, had it been given more time.
func (m *method) lost(d time.Duration) { m.slow(2 * d) }

// slow notes that an answer takes d.
func (m *method) slow(d time.Duration) {
	for {
		longest := m.longest.Load()
		if int64(d) <= longest {
			return
		}
		if m.longest.CompareAndSwap(longest, int64(d)) {
			break
		}
	}
	if limit := m.limit.Load(); limit > 0 && limit < 2*int64(d) {
		m.limit.CompareAndSwap(limit, 2*int64(d))
	}
}

// tick lets a tenth of a second pass.
func (t *timeouts) tick() {
	for i := range t {
		if m := t[i].Load(); m != nil && m.news.Swap(false) {
			m.tick()
		}
	}
}

func (m *method) tick() {
	longest := m.longest.Load()
	m.longest.CompareAndSwap(longest, int64(float64(longest)*longestDecay))
	seen := m.latencies.read()
	if m.ticks++; m.ticks%halveTicks == 0 && seen.total >= 2*minAnswers {
		m.latencies.halve(&seen)
	}
	if seen.total < minAnswers {
		return
	}
	most := seen.quantile(0.99)
	m.most.Store(int64(most))
	m.limit.Store(max(int64(manyTimes*most), 2*longest, int64(usualLimit)))
}

// until returns the time by which an attempt that begins now must be answered if
// after it there are so many others, zero if it has all the time of its call.
func (m *method) until(ctx context.Context, now time.Time, others int) time.Time {
	limit, most := time.Duration(m.limit.Load()), time.Duration(m.most.Load())
	if limit == 0 {
		return time.Time{}
	}
	if end, ok := ctx.Deadline(); ok {
		left := end.Sub(now)
		longest := time.Duration(m.longest.Load())
		limit = min(limit, max(left/time.Duration(others+1), fewTimes*most, longest+longest/4, leastLimit))
		if left-limit < most {
			return time.Time{}
		}
	}
	return now.Add(limit)
}
