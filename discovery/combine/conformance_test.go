package combine_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/combine"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

// fixture returns a fixture of a combined watcher. put puts a set into the
// lists that the watcher combines.
func fixture(watcher func() discovery.Watcher, put func(set []discovery.Endpoint) error) discoverytest.Fixture {
	return discoverytest.Fixture{
		Watcher: func() (discovery.Watcher, error) { return watcher(), nil },
		Put:     func(_ context.Context, set []discovery.Endpoint) error { return put(set) },
		Close:   func() error { return nil },
	}
}

func TestUnionConformsToWatcher(t *testing.T) {
	discoverytest.Run(t, func(*testing.T) discoverytest.Fixture {
		var a, b static.List
		return fixture(
			func() discovery.Watcher { return combine.Union(&a, &b) },
			func(set []discovery.Endpoint) error {
				var parts [2][]discovery.Endpoint
				for _, e := range set { // each address stays in one of the lists
					i := int(e.Addr[len(e.Addr)/2]) % 2
					parts[i] = append(parts[i], e)
				}
				if err := a.Set(parts[0]...); err != nil {
					return err
				}
				return b.Set(parts[1]...)
			},
		)
	})
}

func TestFailoverConformsToWatcher(t *testing.T) {
	discoverytest.Run(t, func(*testing.T) discoverytest.Fixture {
		var l static.List
		return fixture(
			func() discovery.Watcher { return combine.Failover(&l, static.Watcher("192.0.2.99:1"), time.Minute) },
			func(set []discovery.Endpoint) error { return l.Set(set...) },
		)
	})
}

func TestFailoverToItsSecondaryConformsToWatcher(t *testing.T) {
	discoverytest.Run(t, func(*testing.T) discoverytest.Fixture {
		var l static.List
		return fixture(
			func() discovery.Watcher { return combine.Failover(lost{}, &l, 0) },
			func(set []discovery.Endpoint) error { return l.Set(set...) },
		)
	})
}

func TestFilterConformsToWatcher(t *testing.T) {
	discoverytest.Run(t, func(*testing.T) discoverytest.Fixture {
		var l static.List
		foreign := discovery.Endpoint{Addr: "192.0.2.99:1"}
		return fixture(
			func() discovery.Watcher {
				return combine.Filter(&l, func(e discovery.Endpoint) bool { return e.Addr != foreign.Addr })
			},
			func(set []discovery.Endpoint) error { return l.Set(append([]discovery.Endpoint{foreign}, set...)...) },
		)
	})
}

func TestRememberConformsToWatcher(t *testing.T) {
	discoverytest.Run(t, func(t *testing.T) discoverytest.Fixture {
		var l static.List
		file := filepath.Join(t.TempDir(), "last.json")
		return fixture(
			func() discovery.Watcher {
				return combine.Remember(&l, file, time.Minute, func(err error) { t.Error(err) })
			},
			func(set []discovery.Endpoint) error { return l.Set(set...) },
		)
	})
}

func TestSwapConformsToWatcher(t *testing.T) {
	discoverytest.Run(t, func(*testing.T) discoverytest.Fixture {
		var l static.List
		return fixture(
			func() discovery.Watcher { return combine.NewSwap(&l) },
			func(set []discovery.Endpoint) error { return l.Set(set...) },
		)
	})
}

// TestSwapConformsToWatcherWhileItIsSwapped swaps the watcher at every change.
func TestSwapConformsToWatcherWhileItIsSwapped(t *testing.T) {
	discoverytest.Run(t, func(*testing.T) discoverytest.Fixture {
		s := combine.NewSwap(static.NewList())
		return fixture(
			func() discovery.Watcher { return s },
			func(set []discovery.Endpoint) error { return s.Set(static.NewList(set...)) },
		)
	})
}
