package file_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/file"
)

// TestNothingInAFileHarmsAWatcher has a program in place of a registry that writes the
// file over and over. A line that is wrong is doubt of the whole file, so that one
// above a bound costs more than its entry: there is no PutUnchecked.
func TestNothingInAFileHarmsAWatcher(t *testing.T) {
	discoverytest.RunHostile(t, func(t *testing.T) discoverytest.Fixture {
		path := filepath.Join(t.TempDir(), "servers")
		var mu sync.Mutex
		good := []byte("[]")
		// put writes the file, also while that is hostile.
		put := func(_ context.Context, set []discovery.Endpoint) error {
			mu.Lock()
			defer mu.Unlock()
			var err error
			if good, err = json.Marshal(set); err != nil {
				return err
			}
			return replace(path, good, 0o600)
		}
		// always writes what data returns, again and again or once, until restore.
		always := func(once bool, data func(n int) []byte) func(context.Context) (func() error, error) {
			return func(ctx context.Context) (func() error, error) {
				ctx, cancel := context.WithCancel(ctx)
				var writing sync.WaitGroup
				writing.Go(func() {
					for n := 0; ctx.Err() == nil; n++ {
						mu.Lock()
						err := replace(path, data(n), 0o600)
						mu.Unlock()
						if err != nil {
							panic(err)
						}
						if once {
							<-ctx.Done()
						}
					}
				})
				return func() error {
					cancel()
					writing.Wait()
					mu.Lock()
					defer mu.Unlock()
					return replace(path, good, 0o600)
				}, nil
			}
		}
		if err := put(t.Context(), []discovery.Endpoint{}); err != nil {
			t.Fatal(err)
		}
		lines := func(from, n, size int) []byte {
			var b bytes.Buffer
			for i := range n {
				fmt.Fprintf(&b, "10.%d.%d.%d:9090 1 %s\n", (from+i)>>16, (from+i)>>8&255, (from+i)&255, strings.Repeat("z", min(size, 200)))
				if size > 1000 {
					fmt.Fprintf(&b, "# %s\n", strings.Repeat("z", size))
				}
			}
			return b.Bytes()
		}
		return discoverytest.Fixture{
			Watcher:    func() (discovery.Watcher, error) { return file.Watcher(path, file.Interval(100*time.Millisecond)), nil },
			Put:        put,
			Close:      func() error { return os.RemoveAll(path) },
			Contradict: always(false, func(n int) []byte { return lines(0, 3, 0)[:10+n%40] }),
			Endless:    always(true, func(int) []byte { return bytes.Repeat([]byte("10.0.0.1:80\n"), 6<<20) }), // 72 MiB
			Storm:      always(false, func(int) []byte { return lines(0, 3, 0) }),
			Restless:   always(false, func(n int) []byte { return lines(n%1000, 1, 0) }),
			Flood: func(ctx context.Context, entries, size int) (func() error, error) {
				size = min(size, 24<<20/entries) // the test holds it too, and 16 MiB is too much
				return always(true, func(int) []byte { return lines(0, entries, size) })(ctx)
			},
			Timeout: time.Minute,
		}
	})
}
