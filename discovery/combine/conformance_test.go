package combine_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/combine"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

// place is a place of some lists and a watcher made of them.
type place struct {
	watcher func() core.Watcher
	put     func(eps []core.Endpoint) error
}

func (p place) Watcher() (core.Watcher, error)                   { return p.watcher(), nil }
func (p place) Put(_ context.Context, eps []core.Endpoint) error { return p.put(eps) }
func (p place) Close() error                                     { return nil }

func conforms(t *testing.T, newPlace func() place) {
	t.Helper()
	discoverytest.Run(t, discoverytest.Harness{
		NewPlace: func(context.Context) (discoverytest.Place, error) { return newPlace(), nil },
	})
}

func TestUnionConformsToWatcher(t *testing.T) {
	conforms(t, func() place {
		var a, b static.List
		return place{
			func() core.Watcher { return combine.Union(&a, &b) },
			func(eps []core.Endpoint) error {
				var parts [2][]core.Endpoint
				for _, e := range eps { // each address has its place for good
					i := int(e.Addr[len(e.Addr)/2]) % 2
					parts[i] = append(parts[i], e)
				}
				if err := a.Set(parts[0]...); err != nil {
					return err
				}
				return b.Set(parts[1]...)
			},
		}
	})
}

func TestFailoverConformsToWatcher(t *testing.T) {
	conforms(t, func() place {
		var l static.List
		return place{
			func() core.Watcher { return combine.Failover(&l, static.Watcher("192.0.2.99:1"), time.Minute) },
			func(eps []core.Endpoint) error { return l.Set(eps...) },
		}
	})
}

func TestFailoverToItsSecondaryConformsToWatcher(t *testing.T) {
	conforms(t, func() place {
		var l static.List
		return place{
			func() core.Watcher { return combine.Failover(lost{}, &l, 0) },
			func(eps []core.Endpoint) error { return l.Set(eps...) },
		}
	})
}

func TestFilterConformsToWatcher(t *testing.T) {
	conforms(t, func() place {
		var l static.List
		foreign := core.Endpoint{Addr: "192.0.2.99:1"}
		return place{
			func() core.Watcher {
				return combine.Filter(&l, func(e core.Endpoint) bool { return e.Addr != foreign.Addr })
			},
			func(eps []core.Endpoint) error { return l.Set(append([]core.Endpoint{foreign}, eps...)...) },
		}
	})
}

func TestRememberConformsToWatcher(t *testing.T) {
	conforms(t, func() place {
		var l static.List
		file := filepath.Join(t.TempDir(), "last.json")
		return place{
			func() core.Watcher { return combine.Remember(&l, file, time.Minute, func(err error) { t.Error(err) }) },
			func(eps []core.Endpoint) error { return l.Set(eps...) },
		}
	})
}

func TestSwapConformsToWatcher(t *testing.T) {
	conforms(t, func() place {
		var l static.List
		return place{
			func() core.Watcher { return combine.NewSwap(&l) },
			func(eps []core.Endpoint) error { return l.Set(eps...) },
		}
	})
}

// TestSwapConformsToWatcherWhileItIsSwapped swaps at every change.
func TestSwapConformsToWatcherWhileItIsSwapped(t *testing.T) {
	conforms(t, func() place {
		s := combine.NewSwap(static.NewList())
		return place{
			func() core.Watcher { return s },
			func(eps []core.Endpoint) error { return s.Set(static.NewList(eps...)) },
		}
	})
}
