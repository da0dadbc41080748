package core_test

import (
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// Where the only server closes each connection after one call, each call needs a
// dial. The pool dials as fast as MaxConcurrentDials allows: it takes no longer than
// callers that dial for themselves, or than that limit if it is the narrower.
func TestAServerThatClosesEachConnectionIsDialedWithoutAPause(t *testing.T) {
	const (
		dials = 4
		calls = 1024
		dial  = time.Millisecond
	)
	for _, callers := range []int{1, 2, 4, 16, 64, 256} {
		for _, answer := range []time.Duration{0, time.Millisecond, 20 * time.Millisecond} {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, "a:1")
				f.server("a:1").dialed(slow(dial))
				p := f.pool(core.MaxConcurrentDials(dials))
				if err := p.WaitReady(t.Context()); err != nil {
					t.Fatal(err)
				}
				begun := time.Now()
				var all sync.WaitGroup
				for range callers {
					all.Go(func() {
						for range calls / callers {
							l, err := p.Get(t.Context())
							if err != nil {
								t.Error(err)
								return
							}
							_ = sleep(t.Context(), answer)
							_ = l.Discard(io.EOF)
						}
					})
				}
				all.Wait()
				took := time.Since(begun)
				alone := time.Duration(calls/callers) * (dial + answer) // if each dials for itself
				limit := time.Duration(calls/dials) * dial
				busy := time.Duration(calls/min(callers, 64)) * (dial + answer) // MaxActive is 64
				if least := max(alone, limit, busy); took > least*3/2 {
					t.Errorf("%d callers, answers after %v: took %v, want at most 1.5 times %v", callers, answer, took, least)
				}
			})
		}
	}
}
