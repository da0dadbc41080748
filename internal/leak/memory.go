package leak

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// Memory measures the heap while something runs.
type Memory struct {
	before uint64
	peak   atomic.Uint64
	gc     int
	stop   chan struct{}
	done   sync.WaitGroup
}

// Measure begins to measure. Until Stop the garbage collector runs often, so that
// what is counted is in use, or was a moment ago.
func Measure() *Memory {
	m := &Memory{gc: debug.SetGCPercent(30), stop: make(chan struct{})}
	runtime.GC()
	m.before = heap()
	m.done.Go(func() { // ends in Stop
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			m.peak.Store(max(m.peak.Load(), heap()))
			select {
			case <-tick.C:
			case <-m.stop:
				return
			}
		}
	})
	return m
}

// Stop ends the measurement. It returns by how many bytes the heap has grown at
// its peak.
func (m *Memory) Stop() int64 {
	close(m.stop)
	m.done.Wait()
	debug.SetGCPercent(m.gc)
	return max(0, int64(m.peak.Load())-int64(m.before))
}

// heap returns the bytes that objects occupy.
func heap() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// InUse returns the bytes that objects in use occupy. It collects the garbage.
func InUse() int64 {
	runtime.GC()
	return int64(heap())
}

// Allocated returns how many bytes f allocates, and what else runs meanwhile.
func Allocated(f func()) int64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	before := sample[0].Value.Uint64()
	f()
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64() - before)
}

// Bound is how many bytes may be allocated for an input of untrusted bytes: 64 times
// its size, and a mebibyte for what is allocated once.
func Bound(input int) int64 { return 64*int64(input) + 1<<20 }
