package core

import (
	"math"
	"sync/atomic"
	"time"
)

const (
	// latencyUnit is the resolution of latencies, and sumBits how many bits of
	// a latency's answers are their sum, above which are 22 of their number: a
	// tick has room for four million answers, and for three days of waiting.
	latencyUnit = 64
	sumBits     = 42
	// latencyDecay is the weight of a tick's answers in the average: a time
	// constant of about two seconds.
	latencyDecay = 0.05
)

// latency is the average time that the answers of one endpoint take, or of all.
// It is the pool's own, whatever the balancer.
type latency struct {
	// answers is the sum of all latencies, with their number above it; only the
	// difference between two readings means something.
	answers atomic.Uint64
	seen    uint64 // of answers, at the last tick
	ewma    atomic.Uint64
	// count and sum are all answers until the last tick, and how long they took.
	count, sum atomic.Uint64
}

func (l *latency) record(d time.Duration) {
	l.answers.Add(1<<sumBits + uint64(min(d/latencyUnit, 1<<(sumBits-4))))
}

// average returns the average, 0 while there is none.
func (l *latency) average() time.Duration {
	return time.Duration(math.Float64frombits(l.ewma.Load()))
}

// totals returns the number of answers until the last tick, and how long they took.
func (l *latency) totals() (n uint64, took time.Duration) {
	return l.count.Load(), time.Duration(l.sum.Load())
}

// tick takes in what was recorded since the last tick, for each of subs and for
// all.
func (l *latency) tick(subs []*subpool) {
	var all uint64
	for _, s := range subs {
		t := s.tallied.Load()
		if t == nil {
			continue
		}
		now := t.latency.answers.Load()
		news := now - t.latency.seen
		t.latency.seen = now
		t.latency.add(news)
		all += news
	}
	l.add(all)
}

func (l *latency) add(news uint64) {
	n, sum := news>>sumBits, news&(1<<sumBits-1)
	if n == 0 {
		return
	}
	l.count.Add(n)
	l.sum.Add(sum * latencyUnit)
	sample := float64(sum) * latencyUnit / float64(n)
	average := math.Float64frombits(l.ewma.Load())
	if average == 0 {
		average = sample
	}
	l.ewma.Store(math.Float64bits(average + latencyDecay*(sample-average)))
}
