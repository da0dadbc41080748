package balancetest

import (
	"fmt"
	"math"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

func reportRules() []rule {
	return []rule{
		{
			name:  "OddReports",
			says:  "reports of members that do not exist, of unknown classes, of latencies that cannot be do no lasting harm",
			check: checkOddReports,
		},
		{
			name:    "Learns",
			says:    "a slow member is avoided, and still is in the next set of endpoints",
			applies: func(p *promises) bool { return p.learns },
			check:   checkLearns,
		},
	}
}

func checkOddReports(x *exam) error {
	const n = 9
	w, err := x.world(equal(n))
	if err != nil {
		return err
	}
	ms := func(int) time.Duration { return time.Millisecond }
	usual, err := w.serve(3*time.Second, 3*n, ms)
	if err != nil {
		return err
	}
	now := w.now
	for _, class := range []core.Class{core.OK, core.Failure, core.Overload, core.Ignored, core.Cancelled, core.DialFailure, 77} {
		for _, latency := range []time.Duration{0, -1, math.MinInt64, math.MaxInt64} {
			for _, at := range []time.Duration{now, now - time.Hour, 0} { // late, as two reports may be
				for _, i := range []int{0, -1, math.MinInt, n, math.MaxInt} {
					for _, load := range []float64{0, math.NaN(), math.Inf(1), -1} {
						w.picker.Report(i, core.Report{Class: class, Latency: latency, At: at, Load: load})
					}
				}
			}
		}
	}
	if t, ok := w.picker.(core.Ticker); ok {
		for range 3 {
			t.Tick(now)
		}
	}
	if _, err := w.picks(100); err != nil {
		return err
	}
	// What has answered well for long enough is forgiven.
	calm := func(int) time.Duration { return 20 * time.Millisecond }
	if _, err := w.serve(3*time.Minute, 3*n, calm); err != nil {
		return err
	}
	if _, err := w.serve(time.Second, 3*n, ms); err != nil {
		return err
	}
	again, err := w.serve(3*time.Second, 3*n, ms)
	if err != nil {
		return err
	}
	for i := range usual {
		if share := float64(sum(again)) / float64(sum(usual)); float64(again[i]) < 0.5*share*float64(usual[i]) {
			return fmt.Errorf("endpoint %d got %d of %d calls before the reports, and %d of %d when all had been well for three minutes",
				i, usual[i], sum(usual), again[i], sum(again))
		}
	}
	return nil
}

func checkLearns(x *exam) error {
	eps := equal(13)
	w, err := x.world(eps[:12])
	if err != nil {
		return err
	}
	for _, slow := range []int{0, 4, 8} {
		speed := func(i int) time.Duration {
			if w.members[i].Endpoint.Addr == eps[slow].Addr {
				return 50 * time.Millisecond
			}
			return time.Millisecond
		}
		if _, err := w.serve(3*time.Second, 12, speed); err != nil {
			return err
		}
		seen, err := w.serve(3*time.Second, 12, speed)
		if err != nil {
			return err
		}
		if seen[slow] > sum(seen)/50 {
			return fmt.Errorf("endpoint %d of 12 is 50 times slower and got %d of %d calls", slow, seen[slow], sum(seen))
		}
		// One comes, the order is another one, and nothing was measured since.
		turned := append(append([]core.Endpoint{eps[12]}, eps[5:12]...), eps[:5]...)
		if err := w.set(turned); err != nil {
			return err
		}
		got := 0
		for range 2000 {
			i, err := w.pick(core.Hint{})
			if err != nil {
				return err
			}
			if w.members[i].Endpoint.Addr == eps[slow].Addr {
				got++
			}
		}
		if got > 2000/50 {
			return fmt.Errorf("endpoint %d of 12 is 50 times slower; when another one came, it got %d of 2000 calls", slow, got)
		}
		if err := w.set(eps[:12]); err != nil {
			return err
		}
		calm := func(int) time.Duration { return 20 * time.Millisecond }
		if _, err := w.serve(2*time.Minute, 12, calm); err != nil {
			return err
		}
	}
	return nil
}
