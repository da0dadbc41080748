package main

import (
	"errors"
	"testing"
	"time"
)

func TestPeriodIsWhatHappenedBetweenTwoMoments(t *testing.T) {
	st := newStats([]string{"a", "b"})
	for range 30 {
		st.answered("a", time.Millisecond)
	}
	before := st.now()
	for range 10 {
		st.answered("a", time.Microsecond)
	}
	for range 30 {
		st.answered("b", time.Second)
	}
	st.failed(errors.New("gone"))
	p := st.now().since(before)

	if got := p.all().total(); got != 40 {
		t.Errorf("%d calls, want 40", got)
	}
	if got := p.busiest(); got != 1 {
		t.Errorf("server %d is the busiest, want 1", got)
	}
	if a, b := p.share(0), p.share(1); a != 0.25 || b != 0.75 {
		t.Errorf("shares %v and %v, want 1/4 and 3/4", a, b)
	}
	if got := p.servers[0].quantile(1); got > 2*time.Microsecond {
		t.Errorf("the calls before count too: %v", got)
	}
	if p.lost != 1 || len(st.firstErrors()) != 1 {
		t.Errorf("%d lost, errors %v", p.lost, st.firstErrors())
	}
}

func TestOnlyTheFirstErrorsAreKept(t *testing.T) {
	st := newStats([]string{"a"})
	for range 100 {
		st.failed(errors.New("gone"))
	}
	if n := len(st.firstErrors()); n == 0 || n > 10 {
		t.Errorf("%d errors are kept", n)
	}
	if got := st.now().lost; got != 100 {
		t.Errorf("%d lost, want 100", got)
	}
}

func TestNextAnswerIsToldOnceAndOfThatServer(t *testing.T) {
	st := newStats([]string{"a", "b"})
	told := 0
	st.atNextAnswer("b", func() { told++ })
	st.answered("a", 1)
	if told != 0 {
		t.Error("told of another server")
	}
	st.answered("b", 1)
	st.answered("b", 1)
	if told != 1 {
		t.Errorf("told %d times", told)
	}
}
