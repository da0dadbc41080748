package core_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/metrics"
	"github.com/minicaptain/multi_connection_pool/retry"
)

// takes is a call of a given length that ends with err.
func takes(d time.Duration, err error) func(context.Context, *link) error {
	return func(context.Context, *link) error {
		time.Sleep(d)
		return err
	}
}

func TestMeasuredPoolCountsCallsByTheirOutcomeAndRecordsTheirTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFleet(t, "a:1").pool(core.WithoutOutlierDetection(), core.WithClassifier(func(err error) balance.Outcome {
			if errors.Is(err, io.ErrShortBuffer) {
				return balance.OutcomeOverload
			}
			return core.Classify(err)
		}))
		_ = p.Do(t.Context(), takes(time.Second, nil))
		if st := p.Stats(); st.Metrics != nil || st.Endpoints[0].Metrics != nil {
			t.Error("there are metrics that nobody has asked for")
		}
		p.Measure()
		p.Measure()
		for i, err := range []error{nil, io.EOF, io.ErrShortBuffer, errors.New("the application's"), context.Canceled} {
			for range i + 1 {
				if got := p.Do(t.Context(), takes(10*time.Millisecond, err)); !errors.Is(got, err) {
					t.Errorf("%v, want %v", got, err)
				}
			}
		}
		time.Sleep(time.Second)
		st := p.Stats()
		want := metrics.Calls{OK: 1, Failed: 2, Overloaded: 3, Neutral: 4, Canceled: 5, Answers: 2, AnswerTime: 1010 * time.Millisecond}
		near := func(c metrics.Calls) bool { // the sum of latencies is known to 64 ns
			d := c.AnswerTime - want.AnswerTime
			c.AnswerTime = want.AnswerTime
			return c == want && -time.Microsecond < d && d < time.Microsecond
		}
		if !near(*st.Endpoints[0].Metrics) || !near(st.Metrics.Calls) {
			t.Errorf("counted %+v of the endpoint, %+v of all", *st.Endpoints[0].Metrics, st.Metrics.Calls)
		}
		if n := st.Metrics.Latency.Count(); n != 1 || st.Metrics.Latency.Sum != 10*time.Millisecond {
			t.Errorf("recorded %d answers, of %v in all", n, st.Metrics.Latency.Sum)
		}
		if n := st.Metrics.FailureLatency.Count(); n != 14 || st.Metrics.FailureLatency.Sum != 140*time.Millisecond {
			t.Errorf("recorded %d other ends, of %v in all", n, st.Metrics.FailureLatency.Sum)
		}
		if st.Metrics.Leases != 16 || st.Metrics.Dials == 0 {
			t.Errorf("%d leases, %d dials", st.Metrics.Leases, st.Metrics.Dials)
		}
	})
}

func TestMeasuredPoolRecordsWaitsAndCountsCallsWithoutAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool(core.MaxActive(1))
		p.Measure()
		warm(t, p, 1)
		l := get(t, p)
		waiting := background(t.Context(), p)
		time.Sleep(50 * time.Millisecond)
		if _, err := p.Get(within(t, 100*time.Millisecond)); !errors.Is(err, core.ErrExhausted) {
			t.Error(err)
		}
		release(t, l)
		synctest.Wait()
		release(t, served(t, waiting))
		if _, err := p.Get(t.Context(), core.WithEndpoint("z:1")); !errors.Is(err, core.ErrNoEndpoint) {
			t.Error(err)
		}
		f.server("a:1").dialed(refuse)
		p.Reset()
		synctest.Wait()
		if _, err := p.Get(t.Context()); !errors.Is(err, core.ErrUnavailable) {
			t.Error(err)
		}
		m := p.Stats().Metrics
		if m.NoEndpoint != 1 || m.Unavailable != 1 || m.Exhausted != 1 {
			t.Errorf("without a connection: %d, %d, %d", m.NoEndpoint, m.Unavailable, m.Exhausted)
		}
		// The first call of all waited for a dial.
		if n := m.Wait.Count(); n != 2 || m.Wait.Sum != 150*time.Millisecond {
			t.Errorf("%d waits, of %v in all", n, m.Wait.Sum)
		}
	})
}

func TestPoolCountsRetriesHedgesEjectionsAndProbesPerEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1", "c:1")
		p := f.pool(core.WithBalancer(balance.RoundRobin()))
		p.Measure()
		traffic(t, p, 10*time.Second, "")
		traffic(t, p, time.Second, "a:1")
		traffic(t, p, 10*time.Second, "")
		if c := endpointStats(t, p, "a:1").Metrics; c.Ejections != 1 || c.Probes < 2 || c.Failed < 3 {
			t.Errorf("a server that failed and recovered: %+v", c)
		}
		if c := endpointStats(t, p, "b:1").Metrics; c.Ejections != 0 || c.Probes != 0 || c.Failed != 0 {
			t.Errorf("one that did not: %+v", c)
		}
		var log retry.Log
		if err := p.Do(retry.WithObserver(t.Context(), &log), func(_ context.Context, l *link) error {
			if len(log.Attempts()) == 0 {
				return io.EOF
			}
			return nil
		}, core.Attempts(2)); err != nil {
			t.Fatal(err)
		}
		if c := endpointStats(t, p, log.Answered()).Metrics; c.Retries != 1 {
			t.Errorf("%d retries to the server that answered", c.Retries)
		}
	})
}

func TestObserverSeesTheServerThatACallNamesInEveryAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFleet(t, "a:1", "b:1").pool()
		for range 2 { // the second time, the other is not available
			var log retry.Log
			_, err := tries(retry.WithObserver(t.Context(), &log), p, always(errBroken), core.WithEndpoint("b:1"), core.Attempts(3))
			seen := log.Attempts()
			if len(seen) != 3 || !errors.Is(err, errBroken) {
				t.Fatalf("%d attempts, error %v", len(seen), err)
			}
			for _, a := range seen {
				if a.Endpoint != "b:1" {
					t.Errorf("attempt %d asked %q", a.Number, a.Endpoint)
				}
			}
			if err := p.Eject("a:1"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestPoolCountsHowHedgesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHedger(t)
		h.pool.Measure()
		h.slow.Store(int64(time.Second))
		winner, err := h.call(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if c := endpointStats(t, h.pool, winner).Metrics; c.Hedges != 1 || c.HedgesWon != 1 || c.HedgesFailed != 0 {
			t.Errorf("%+v", c)
		}
		if c := h.pool.Stats().Metrics.Calls; c.Hedges != 1 || c.HedgesWon != 1 {
			t.Errorf("of all: %+v", c)
		}
	})
}

// The servers change, all of them and over and over, while their connections are
// in use.
func TestNumbersOfAPoolOnlyGrowAndOutlastItsServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a0:1", "b0:1")
		p := f.pool(core.RemovalGrace(0))
		p.Measure()
		var last metrics.Pool
		calls := uint64(0)
		grow := func() {
			t.Helper()
			m := *p.Stats().Metrics
			if m.Calls.OK < last.Calls.OK || m.Leases < last.Leases || m.Dials < last.Dials || m.Closed < last.Closed || m.Calls.Answers < last.Calls.Answers {
				t.Fatalf("from %+v to %+v", last, m)
			}
			last = m
		}
		for round := range 20 {
			held := get(t, p)
			for range 10 {
				if err := p.Do(t.Context(), takes(time.Millisecond, nil)); err != nil {
					t.Fatal(err)
				}
				calls++
				grow()
			}
			f.report(fmt.Sprintf("a%d:1", round+1), fmt.Sprintf("b%d:1", round+1))
			grow()
			release(t, held) // its endpoint is gone
			synctest.Wait()
			grow()
		}
		time.Sleep(time.Second)
		if m := p.Stats().Metrics; m.Calls.OK != calls || m.Leases != calls+20 || m.Calls.Answers > calls {
			t.Errorf("%d calls and 20 leases; counted %+v and %d leases", calls, m.Calls, m.Leases)
		}
		if n := len(p.Stats().Endpoints); n != 2 {
			t.Errorf("%d endpoints", n)
		}
	})
}

func TestMeasuringAllocatesNothing(t *testing.T) {
	p := newFleet(t, "a:1", "b:1").pool()
	warm(t, p, 2)
	p.Measure()
	nothing := func(context.Context, *link) error { return nil }
	for name, f := range map[string]func(){
		"a lease": func() {
			l, err := p.Get(t.Context())
			if err != nil || l.Release() != nil {
				t.Error(err)
			}
		},
		"a call": func() {
			if err := p.Do(t.Context(), nothing); err != nil {
				t.Error(err)
			}
		},
	} {
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestDoAndCallAreSeenByObserversOfAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFleet(t, "a:1").pool()
		var log, own retry.Log
		_ = p.Do(t.Context(), takes(0, nil)) // by nobody
		p.Retrier().Observe(&log)
		if err := p.Do(retry.WithObserver(t.Context(), &own), takes(time.Second, nil), core.WithMethod("get")); err != nil {
			t.Fatal(err)
		}
		if _, err := core.Call(t.Context(), p, func(context.Context, *link) (int, error) { return 0, io.EOF }); !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		release(t, get(t, p))
		all := log.Attempts()
		if len(all) != 2 || len(own.Attempts()) != 1 || all[0] != own.Attempts()[0] {
			t.Fatalf("saw %+v", all)
		}
		if a := all[0]; a.Name != "get" || a.Endpoint != "a:1" || a.Latency != time.Second || a.Outcome != balance.OutcomeOK || a.Err != nil {
			t.Errorf("an answer: %+v", a)
		}
		if a := all[1]; a.Outcome != balance.OutcomeFailure || a.Verdict != retry.VerdictFailed || !errors.Is(a.Err, io.EOF) {
			t.Errorf("a failure: %+v", a)
		}
	})
}

func TestEventOfAnEjectionHasItsNumbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1", "c:1")
		j := new(journal)
		p := f.pool(core.WithObserver(j.Observe))
		traffic(t, p, 10*time.Second, "")
		traffic(t, p, time.Second, "a:1")
		traffic(t, p, 10*time.Second, "")
		out, back := j.of(core.EventEndpointEjected), j.of(core.EventEndpointReadmitted)
		if len(out) != 1 || len(back) != 1 {
			t.Fatalf("%d and %d events", len(out), len(back))
		}
		if e := out[0].Evidence; e == nil || e.Calls < 3 || e.Failures < 3 || e.Likelihood < 1e7 || e.Baseline <= 0 || e.Baseline > 0.01 {
			t.Errorf("ejected: %+v", e)
		}
		if e := back[0].Evidence; e == nil || e.Probes < 2 || back[0].Duration <= 0 {
			t.Errorf("readmitted after %v: %+v", back[0].Duration, e)
		}
		for _, ev := range j.events {
			if age := time.Since(ev.Time); age < 0 || age > 30*time.Second {
				t.Errorf("%s was at %v", ev.Kind, ev.Time)
			}
		}
		if m := fields(t, out[0]); m["Time"] == nil || m["Evidence"].(map[string]any)["Failures"].(float64) < 3 {
			t.Errorf("as JSON: %v", m)
		}
	})
}

func TestStatsOfAMeasuredPoolAsJSONCanBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFleet(t, "a:1").pool()
		p.Measure()
		_ = p.Do(t.Context(), takes(time.Second, nil))
		time.Sleep(time.Second)
		m := fields(t, p.Stats())
		all, _ := m["Metrics"].(map[string]any)
		one, _ := m["Endpoints"].([]any)[0].(map[string]any)["Metrics"].(map[string]any)
		latency, _ := all["Latency"].(map[string]any)
		if calls, _ := all["Calls"].(map[string]any); calls["OK"] != 1. || one["OK"] != 1. || latency["P50"] != "1s" || !strings.HasPrefix(fmt.Sprint(one["AnswerTime"]), "1") {
			t.Errorf("%v", m)
		}
	})
}
