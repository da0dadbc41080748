package static_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

// TestAListThatItsProgramChangesWithoutAPauseHarmsNoWatcher has a program in place of
// a registry. A list has no wire, and Set refuses what is not
// valid.
func TestAListThatItsProgramChangesWithoutAPauseHarmsNoWatcher(t *testing.T) {
	discoverytest.RunHostile(t, func(*testing.T) discoverytest.Fixture {
		list := static.NewList()
		// always sets what set returns, again and again or once, until restore.
		always := func(once bool, set func(n int) []discovery.Endpoint) func(context.Context) (func() error, error) {
			return func(ctx context.Context) (func() error, error) {
				ctx, cancel := context.WithCancel(ctx)
				var setting sync.WaitGroup
				setting.Go(func() {
					for n := 0; ctx.Err() == nil; n++ {
						if err := list.Set(set(n)...); err != nil {
							panic(err)
						}
						if once {
							<-ctx.Done()
						}
					}
				})
				return func() error { cancel(); setting.Wait(); return nil }, nil
			}
		}
		return discoverytest.Fixture{
			Watcher: func() (discovery.Watcher, error) { return list, nil },
			Put:     func(_ context.Context, set []discovery.Endpoint) error { return list.Set(set...) },
			Close:   func() error { return nil },
			Storm:   always(false, func(int) []discovery.Endpoint { return numbered(0, 3) }),
			Restless: always(false, func(n int) []discovery.Endpoint {
				return numbered(n%1000, 1)
			}),
			Flood: func(ctx context.Context, entries, _ int) (func() error, error) {
				return always(true, func(int) []discovery.Endpoint { return numbered(0, entries) })(ctx)
			},
		}
	})
}

func numbered(from, n int) []discovery.Endpoint {
	set := make([]discovery.Endpoint, n)
	for i := range set {
		set[i].Addr = fmt.Sprintf("10.%d.%d.%d:9090", (from+i)>>16, (from+i)>>8&255, (from+i)&255)
	}
	return set
}
