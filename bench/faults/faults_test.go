package main

import (
	"context"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/bench/internal/servers"
)

func TestMain(m *testing.M) {
	servers.RunIfAsked(listeners())
	os.Exit(m.Run())
}

func TestFaultsHappenAndEnd(t *testing.T) {
	for _, p := range protocols() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			happenAndEnd(t, p)
		})
	}
}

func happenAndEnd(t *testing.T, p protocol) {
	all, err := servers.StartGroup(p.name, 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(all.Kill)
	addrs := all.Addrs()
	byHand := p.arms[len(p.arms)-1] // opens while no server answers
	answers := func(addr string) (bool, time.Duration) {
		t.Helper()
		w, err := byHand.open([]string{addr})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		defer cancel()
		begun := time.Now()
		_, err = w.ask(ctx)
		return err == nil, time.Since(begun)
	}
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			end, err := f.begin(all)
			if err != nil {
				t.Fatal(err)
			}
			switch ok, took := answers(addrs[0]); f.name {
			case "one 50 ms slower":
				if !ok || took < 50*time.Millisecond {
					t.Errorf("it answers: %v, after %v", ok, took)
				}
			case "rolling restart of all":
				if !ok {
					t.Error("a restarted server does not answer")
				}
			default:
				if ok {
					t.Error("the victim answers")
				}
			}
			if err := end(); err != nil {
				t.Fatal(err)
			}
			for i, addr := range addrs {
				if ok, _ := answers(addr); !ok || all[i].Addr != addr {
					t.Errorf("after the fault server %d does not answer", i)
				}
			}
		})
	}
}

func TestEachArmCalls(t *testing.T) {
	for _, p := range protocols() {
		s, err := servers.Start(p.name, "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Kill)
		for _, a := range p.arms {
			w, err := a.open([]string{s.Addr})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			if addr, err := w.ask(ctx); err != nil || addr != s.Addr {
				t.Errorf("%s, %s: answered by %s, error %v", p.name, a.name, addr, err)
			}
			cancel()
			if err := w.Close(); err != nil {
				t.Errorf("%s, %s: %v", p.name, a.name, err)
			}
		}
	}
}

// A goal of an arm that does not exist would never be missed.
func TestEveryProtocolHasTheArmsOfTheGoals(t *testing.T) {
	for _, p := range protocols() {
		for _, f := range faults() {
			for _, g := range f.goals {
				if !slices.ContainsFunc(p.arms, func(a arm) bool { return a.name == g.arm }) {
					t.Errorf("%s has no arm %q, whose goal is %s", p.name, g.arm, g.name)
				}
			}
		}
	}
}

func TestJudgeCountsWhatHappened(t *testing.T) {
	var calls []call
	for ms := range (calm + during + after) / time.Millisecond {
		at := ms * time.Millisecond
		c := call{at: at, took: time.Millisecond, server: []string{"a", "b", "c"}[ms%3]}
		if c.server == "a" && at >= calm && at < calm+during+time.Second { // it comes back a second late
			c.server, c.took = "b", 20*time.Millisecond
			if at < calm+30*time.Millisecond {
				c.server, c.took = "", deadline
			}
		}
		calls = append(calls, c)
	}
	o := judge(calls, []string{"a", "b", "c"}, calm+2*time.Millisecond, calm+during)
	if o.failed != 10 || o.flying != 2 || o.calmP99 != time.Millisecond || o.p99 != 20*time.Millisecond || o.p999 != deadline {
		t.Errorf("%+v", o)
	}
	if o.share != 0 || o.back < time.Second || o.back > time.Second+50*time.Millisecond || o.peak < 0.33 || o.peak > 0.35 {
		t.Errorf("%+v", o)
	}
	if o.least < 0.32 || o.most > 0.34 {
		t.Errorf("%+v", o)
	}
}

func TestGoalsAreMissedByWhatIsWorse(t *testing.T) {
	good := outcome{
		calmP99: time.Millisecond, p99: 2 * time.Millisecond, p999: attempt, back: 400 * time.Millisecond,
		share: 0.005, peak: 0.4, least: 0.30, most: 0.36,
	}
	bad := outcome{
		failed: 1, calmP99: time.Millisecond, p99: 11 * time.Millisecond, p999: 2 * attempt, back: never,
		share: 0.02, peak: 0.6, least: 0.27, most: 0.40,
	}
	for _, f := range faults() {
		for _, g := range f.goals {
			if figure, met := g.judge(row{g.arm, []outcome{good, good}}); !met {
				t.Errorf("%s: %s is missed with %s", f.name, g.name, figure)
			}
			if figure, met := g.judge(row{g.arm, []outcome{bad, bad}}); met {
				t.Errorf("%s: %s is met with %s", f.name, g.name, figure)
			}
		}
	}
}
