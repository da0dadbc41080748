// Package measure compares ways of doing the same work on a machine that is not quiet.
//
// Contenders take turns in slices of some tens of milliseconds, many rounds long, so that whatever else the machine does
// falls on all of them alike. Ratios are taken inside each round, between neighbours in time, and the median is taken of
// the ratios: a figure that repeats within a few per cent where the nanoseconds themselves move by half.
package measure

import (
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Cost is what a slice of work took. CPU is that of the whole process, kernel included: background goroutines and the
// garbage collector are part of what a contender costs.
type Cost struct {
	Ops       int
	CPU, Wall time.Duration
	Mallocs   uint64
}

// CPUPerOp is in nanoseconds.
func (c Cost) CPUPerOp() float64 { return float64(c.CPU) / float64(c.Ops) }

// WallPerOp is in nanoseconds, all workers together: the inverse of throughput.
func (c Cost) WallPerOp() float64 { return float64(c.Wall) / float64(c.Ops) }

// AllocsPerOp counts heap objects.
func (c Cost) AllocsPerOp() float64 { return float64(c.Mallocs) / float64(c.Ops) }

// Work is what one worker does until stop is true; it returns how many operations it did.
type Work func(worker int, stop *atomic.Bool) (ops int, err error)

// Slice lets workers do work for about d and returns what it cost, or the first error.
//
// It begins with a garbage collection, so that nobody pays for another's garbage, and with a tenth of d that is not
// counted, in which caches and free lists fill again.
func Slice(d time.Duration, workers int, work Work) (Cost, error) {
	runtime.GC()
	if _, err := slice(d/10, workers, work); err != nil {
		return Cost{}, err
	}
	return slice(d, workers, work)
}

// slice ends by a flag that a timer sets, so that no worker reads the clock. What it allocates itself it allocates
// before it begins to count.
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
