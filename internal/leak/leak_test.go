package leak

import (
	"runtime"
	"strings"
	"testing"
)

func TestAGoroutineThatStartedSinceIsLeft(t *testing.T) {
	before := Goroutines()
	if err := Left(before); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { <-stop; close(stopped) }() // ends below
	if err := Left(before); err == nil || !strings.Contains(err.Error(), "1 goroutines are left") {
		t.Errorf("error %v", err)
	}
	close(stop)
	<-stopped
}

func TestThePeakOfTheHeapIsMeasured(t *testing.T) {
	m := Measure()
	kept := make([][]byte, 0, 64)
	for range 64 {
		kept = append(kept, make([]byte, 1<<20))
	}
	for m.peak.Load() < m.before+64<<20 { // the sampler has run
		runtime.Gosched()
	}
	runtime.KeepAlive(kept)
	if n := m.Stop(); n < 64<<20 {
		t.Errorf("%d bytes at the peak", n)
	}
}
