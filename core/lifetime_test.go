package core_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// Connections that were opened together are closed over a tenth of their lifetime,
// however short that is: not in one sweep.
func TestConnectionsOpenedTogetherAreClosedOverATenthOfTheirLifetime(t *testing.T) {
	for _, life := range []time.Duration{time.Second, 3 * time.Second, 10 * time.Second, time.Minute, time.Hour} {
		t.Run(life.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 50
				f := newFleet(t, "a:1")
				p := f.pool(core.MaxLifetime(life), core.IdleTimeout(0), core.MaxActive(n))
				leases := getMany(t, p, n)
				var ends []time.Duration
				for _, l := range leases {
					born := l.Conn().opened
					l.Conn().onClose = func() {
						f.mu.Lock()
						defer f.mu.Unlock()
						ends = append(ends, time.Since(born))
					}
				}
				release(t, leases...)
				time.Sleep(life + time.Nanosecond)
				synctest.Wait()
				f.wantCounts(n, n)
				slices.Sort(ends)
				if ends[0] < life*9/10 || ends[n-1] > life {
					t.Errorf("closed after %v to %v", ends[0], ends[n-1])
				}
				at := map[time.Duration]int{} // in each of ten parts of the tenth
				for _, d := range ends {
					at[(d-life*9/10)*100/life]++
				}
				for part, k := range at {
					if k > n/2 {
						t.Errorf("%d of %d are closed within a hundredth of their lifetime, part %d", k, n, part)
					}
				}
			})
		})
	}
}

func TestALifetimeThatIsSetLaterIsForConnectionsOpenedFromThenOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool(core.IdleTimeout(0))
		warm(t, p, 2)
		if err := p.Set(core.MaxLifetime(3 * time.Second)); err != nil {
			t.Fatal(err)
		}
		warm(t, p, 4)
		time.Sleep(time.Hour)
		f.wantCounts(4, 2)
	})
}
