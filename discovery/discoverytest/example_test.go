package discoverytest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

// A backend has a test like TestWatcher. The backend of this example is a list
// in memory; the fixture of a registry would also set Proxies.
func Example() {
	TestWatcher := func(t *testing.T) {
		discoverytest.Run(t, func(*testing.T) discoverytest.Fixture {
			list := static.NewList()
			return discoverytest.Fixture{
				Watcher: func() (discovery.Watcher, error) { return list, nil },
				Put:     func(_ context.Context, set []discovery.Endpoint) error { return list.Set(set...) },
				Close:   func() error { return nil },
			}
		})
	}

	// go test runs TestWatcher. The example does it by itself.
	passed := runTest("TestWatcher", TestWatcher)
	fmt.Println("TestWatcher passed:", passed)
	// Output: TestWatcher passed: true
}
