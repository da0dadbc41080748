package measure

import (
	"flag"
	"time"
)

// Settings say how long to measure.
type Settings struct {
	// Rounds is how often each contender takes its turn.
	Rounds int
	// Slice is how long a turn lasts.
	Slice time.Duration
}

// Flags declares the flags of settings with their defaults.
func Flags(rounds int, slice time.Duration) *Settings {
	s := new(Settings)
	flag.IntVar(&s.Rounds, "rounds", rounds, "how often each contender takes its turn")
	flag.DurationVar(&s.Slice, "slice", slice, "how long each turn lasts")
	return s
}

// Interleave lets n contenders take turns. The turns of the first round do not count: they open connections and fill
// caches.
func (s Settings) Interleave(n int, turn func(i int, counts bool) error) error {
	for round := range s.Rounds + 1 {
		for i := range Turns(n, round) {
			if err := turn(i, round > 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// Costs are the costs of one contender's operations, a figure per round. CPU and Wall are in nanoseconds.
type Costs struct{ CPU, Wall, Allocs []float64 }

// Add adds the figures of one turn.
func (c *Costs) Add(cost Cost) {
	c.CPU = append(c.CPU, cost.CPUPerOp())
	c.Wall = append(c.Wall, cost.WallPerOp())
	c.Allocs = append(c.Allocs, cost.AllocsPerOp())
}
