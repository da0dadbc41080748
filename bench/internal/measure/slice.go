// Package measure compares ways to do the same work on a machine that is not quiet.
//
// Contenders take turns of some tens of milliseconds for many rounds, so that other load on the machine falls on all of
// them alike. A ratio is taken inside each round, between turns that are close in time, and then the median over the
// rounds. It repeats within a few per cent where the nanoseconds themselves vary by half.
package measure

import (
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Cost is what a slice of work took. CPU is the time of the whole process, kernel included: background goroutines and
// the garbage collector are part of a contender's cost.
type Cost struct {
	Ops       int
	CPU, Wall time.Duration
	Mallocs   uint64
}

// CPUPerOp returns the CPU time of an operation in nanoseconds.
func (c Cost) CPUPerOp() float64 { return float64(c.CPU) / float64(c.Ops) }

// WallPerOp returns the time of an operation in nanoseconds, over all workers: the inverse of throughput.
func (c Cost) WallPerOp() float64 { return float64(c.Wall) / float64(c.Ops) }

// AllocsPerOp returns the heap objects that an operation allocates.
func (c Cost) AllocsPerOp() float64 { return float64(c.Mallocs) / float64(c.Ops) }

// Work is what one worker does until stop is true. It returns how many operations it did.
type Work func(worker int, stop *atomic.Bool) (ops int, err error)

// Slice lets workers do work for about d and returns the cost, or the first error.
//
// It begins with a garbage collection, so that no contender pays for another's garbage, and then with a tenth of d that
// does not count, in which caches and free lists fill again.
func Slice(d time.Duration, workers int, work Work) (Cost, error) {
	runtime.GC()
	if _, err := slice(d/10, workers, work); err != nil {
		return Cost{}, err
	}
	return slice(d, workers, work)
}

// slice ends by a flag that a timer sets, so that no worker reads the clock. Its own allocations come before it begins
// to count.
func slice(d time.Duration, workers int, work Work) (Cost, error) {
	var (
		begin = make(chan struct{})
		stop  atomic.Bool
		done  sync.WaitGroup
		ops   atomic.Int64
		first atomic.Pointer[error]
	)
	for i := range workers {
		// Ends when stop is set or its work fails; awaited below.
		done.Go(func() {
			<-begin
			n, err := work(i, &stop)
			ops.Add(int64(n))
			if err != nil {
				first.CompareAndSwap(nil, &err)
				stop.Store(true)
			}
		})
	}
	timer := time.AfterFunc(d, func() { stop.Store(true) })
	defer timer.Stop()
	before := now()
	close(begin)
	done.Wait()
	cost := now().since(before)
	cost.Ops = int(ops.Load())
	if err := first.Load(); err != nil {
		return cost, *err
	}
	return cost, nil
}

type instant struct {
	wall    time.Time
	cpu     time.Duration
	mallocs uint64
}

func now() instant {
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	return instant{wall: time.Now(), cpu: processCPU(), mallocs: mem.Mallocs}
}

func (t instant) since(before instant) Cost {
	return Cost{CPU: t.cpu - before.cpu, Wall: t.wall.Sub(before.wall), Mallocs: t.mallocs - before.mallocs}
}

func processCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err) // cannot fail with a valid first argument
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
