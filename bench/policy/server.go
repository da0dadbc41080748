package main

import (
	"sort"
	"time"
)

// span is a stretch of simulated time.
type span struct{ from, to time.Duration }

func (s span) has(t time.Duration) bool { return s.from <= t && t < s.to }

// server answers first come, first served, several calls at a time. Its faults are set beforehand, so that the end of a
// call is known at its beginning.
type server struct {
	// free is when each worker has answered all of its calls.
	free []time.Duration
	// slower is how many times slower the server is than the mean server.
	slower func(at time.Duration) float64
	// stopped is when it does nothing at all, in the order of time.
	stopped []span
	// failing is when it answers at once, with an error.
	failing span
	// flaky is when it answers with an error, with the probability rate, after as much work as for an answer.
	flaky span
	rate  float64
}

// done returns when a call that comes now is answered, if its work takes that long on a server of mean speed, and the
// worker that does it.
func (s *server) done(now, work time.Duration) (time.Duration, int) {
	first := 0
	for i, t := range s.free {
		if t < s.free[first] {
			first = i
		}
	}
	start := max(now, s.free[first])
	left := time.Duration(float64(work) * s.slower(start))
	i := sort.Search(len(s.stopped), func(i int) bool { return s.stopped[i].to > start })
	for ; i < len(s.stopped) && s.stopped[i].from < start+left; i++ {
		if before := s.stopped[i].from - start; before > 0 {
			left -= before
		}
		start = s.stopped[i].to
	}
	return start + left, first
}

// call accepts a call and returns when it is answered.
func (s *server) call(now, work time.Duration) time.Duration {
	end, worker := s.done(now, work)
	s.free[worker] = end
	return end
}
