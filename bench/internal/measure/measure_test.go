package measure

import (
	"errors"
	"math"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

func TestEachRoundTakesEveryTurnOnceAndBeginsOneFurther(t *testing.T) {
	for round := range 7 {
		turns := slices.Collect(Turns(3, round))
		if turns[0] != round%3 {
			t.Errorf("round %d begins with %d", round, turns[0])
		}
		slices.Sort(turns)
		if !slices.Equal(turns, []int{0, 1, 2}) {
			t.Errorf("round %d took the turns %v", round, turns)
		}
	}
}

func TestRatiosArePairedByRound(t *testing.T) {
	// The slowdown in the second round hits both, so the ratio is one half in each round.
	got := Ratio([]float64{1, 10, 2}, []float64{2, 20, 4})
	if want := (Spread{0.5, 0.5, 0.5}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestQuantilesInterpolate(t *testing.T) {
	for q, want := range map[float64]float64{0: 1, 0.25: 1.75, 0.5: 2.5, 1: 4} {
		if got := Quantile([]float64{1, 2, 3, 4}, q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if got, want := SpreadOf([]float64{3, math.NaN(), 1, 2}), (Spread{1.5, 2, 2.5}); got != want {
		t.Errorf("with a figure missing the spread is %v, want %v", got, want)
	}
	if got := Quantile([]float64(nil), 0.5); !math.IsNaN(got) {
		t.Errorf("the median of nothing is %v", got)
	}
}

func TestASliceRunsAllWorkersUntilStopped(t *testing.T) {
	var ran [4]atomic.Bool
	cost, err := Slice(time.Millisecond, len(ran), func(worker int, stop *atomic.Bool) (int, error) {
		ran[worker].Store(true)
		ops := 0
		for !stop.Load() {
			ops++
		}
		return ops + 1, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range ran {
		if !ran[i].Load() {
			t.Errorf("worker %d did not run", i)
		}
	}
	if cost.Ops < len(ran) || cost.Wall <= 0 {
		t.Errorf("implausible cost %+v", cost)
	}
}

func TestAnErrorEndsASlice(t *testing.T) {
	broken := errors.New("broken")
	_, err := Slice(time.Hour, 2, func(worker int, stop *atomic.Bool) (int, error) {
		if worker == 0 {
			return 0, broken
		}
		for !stop.Load() {
		}
		return 0, nil
	})
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}
