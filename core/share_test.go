package core_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/minicaptain/multi_connection_pool/core"
)

// limited is a connection that says how many calls share it.
type limited struct {
	*link

	most int
}

func (l limited) MaxConcurrentCalls() int {
	if l.most == 13 {
		panic("bad luck")
	}
	return l.most
}

func TestAConnectionMayTakeFewerCallsThanTheOptionAllows(t *testing.T) {
	for _, c := range []struct{ says, carries int }{{1, 1}, {2, 2}, {4, 4}, {5, 4}, {0, 4}, {-1, 4}, {13, 4}} {
		t.Run(fmt.Sprint(c.says), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, "a:1")
				p := newPool(f, core.DialFunc[limited](func(ctx context.Context, e core.Endpoint) (limited, error) {
					l, err := f.Dial(ctx, e)
					if err == nil {
						l.shared = true
					}
					return limited{l, c.says}, err
				}), core.MaxActive(3), core.MaxConcurrentCalls(4))
				// However they come, calls get connections until the limit is reached.
				var all []<-chan result[limited]
				for range 3 * c.carries {
					all = append(all, background(t.Context(), p))
				}
				synctest.Wait()
				one := background(t.Context(), p)
				waits(t, one)
				users := map[*link]int{}
				var leases []core.Lease[limited]
				for _, done := range all {
					l := served(t, done)
					users[l.Conn().link]++
					leases = append(leases, l)
				}
				for l, n := range users {
					if n != c.carries {
						t.Errorf("%d calls share %v", n, l)
					}
				}
				if len(users) != 3 {
					t.Errorf("%d connections", len(users))
				}
				release(t, leases...)
				release(t, served(t, one))
				if s := endpointStats(t, p, "a:1"); s.InUse != 0 || s.Idle != 3*c.carries || s.Open != 3 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}
