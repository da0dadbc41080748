package main

import (
	"sort"
	"time"
)

// span is a stretch of simulated time.
type span struct{ from, to time.Duration }

func (s span) has(t time.Duration) bool { return s.from <= t && t < s.to }

// server answers first come, first served, several calls at a time. What it will do is laid down beforehand, so that
// the end of a call is known at its beginning.
type server struct {
	// free says when each worker has done all that it was given.
	free []time.Duration
	// slower is how many times slower the server is than the mean one.
	slower func(at time.Duration) float64
	// stopped is when it does nothing at all, in order of time.
	stopped []span
	// broken is when it answers at once, with an error.
	broken span
	// flaky is when it answers an error with the chance of rate, after as much work as for an answer.
	flaky span
	rate  float64
}

// done returns when a call that comes now would be answered, if its work takes so long at a server of mean speed, and
// the worker that would do it.
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

// call takes a call and returns when it is answered.
func (s *server) call(now, work time.Duration) time.Duration {
	end, worker := s.done(now, work)
	s.free[worker] = end
	return end
}
