package static_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

func TestListConformsToWatcher(t *testing.T) {
	discoverytest.Run(t, func(*testing.T) discoverytest.Fixture {
		list := static.NewList()
		return discoverytest.Fixture{
			Watcher: func() (discovery.Watcher, error) { return list, nil },
			Put:     func(_ context.Context, set []discovery.Endpoint) error { return list.Set(set...) },
			Close:   func() error { return nil },
		}
	})
}

// TestFixedConformsToWatcherWhereNothingChanges runs the cases that put one set
// before the first watch.
func TestFixedConformsToWatcherWhereNothingChanges(t *testing.T) {
	discoverytest.Run(t, func(*testing.T) discoverytest.Fixture {
		var set []discovery.Endpoint
		watched := false
		return discoverytest.Fixture{
			Watcher: func() (discovery.Watcher, error) {
				if len(set) == 0 {
					return nil, fmt.Errorf("a fixed list is never empty (%w)", errors.ErrUnsupported)
				}
				watched = true
				return static.Endpoints(set...), nil
			},
			Put: func(_ context.Context, eps []discovery.Endpoint) error {
				if watched {
					return fmt.Errorf("a fixed list does not change (%w)", errors.ErrUnsupported)
				}
				set = eps
				return nil
			},
			Close: func() error { return nil },
		}
	})
}
