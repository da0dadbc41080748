package main

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestPaceKeepsTheRateForAllCallersTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		p := newPace(100)
		var n atomic.Int64
		var callers sync.WaitGroup
		for i := range 7 {
			callers.Go(func() {
				for p.wait(ctx) {
					if n.Add(1) == 150 && i >= 0 {
						time.Sleep(500 * time.Millisecond) // one slow call
					}
				}
			})
		}
		callers.Wait()
		if got := n.Load(); got < 299 || got > 301 {
			t.Errorf("%d calls in 3 s, want 300", got)
		}
	})
}

func TestPaceWithoutRateDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		p := newPace(0)
		for range 1000 {
			if !p.wait(t.Context()) {
				t.Fatal("told to stop")
			}
		}
		if d := time.Since(begin); d != 0 {
			t.Errorf("1000 calls took %v", d)
		}
	})
}
