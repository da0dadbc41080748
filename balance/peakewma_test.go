package balance

import (
	"testing"
	"time"
)

// away returns for how long the first of three servers gets no calls after one answer
// of that latency among answers of 0.2 ms; at most two minutes.
func away(pause, peak time.Duration) time.Duration {
	l := newLoop(PeakEWMA(), 1, 1, 1)
	tick := time.Duration(0)
	call := func(took time.Duration) int {
		if l.now >= tick {
			l.picker.(Ticker).Tick(l.now)
			tick = l.now + 100*ms
		}
		i := l.picker.Pick(PickInfo{})
		l.now += 200 * us
		l.picker.Report(i, Report{Latency: took, At: l.now})
		l.now += pause
		return i
	}
	for l.now < 10*time.Second {
		call(200 * us)
	}
	l.picker.Report(0, Report{Latency: peak, At: l.now})
	for from := l.now; ; {
		if call(200*us) == 0 || l.now > from+2*time.Minute {
			return l.now - from
		}
	}
}

func TestPeakKeepsCallsAwayInProportionToItsHeight(t *testing.T) {
	for _, pause := range []time.Duration{ms, 20 * ms} {
		for _, peak := range []time.Duration{3 * ms, 30 * ms, 100 * ms} {
			if d := away(pause, peak); d > 320*peak || d < 60*peak {
				t.Errorf("with a call every %v, an answer of %v keeps calls away for %v, want at most 300 times as long as it took", pause, peak, d)
			}
		}
	}
}
