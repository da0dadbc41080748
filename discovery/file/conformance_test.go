package file_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/file"
)

// replace replaces a file in one step.
func replace(path string, data []byte, mode os.FileMode) error {
	next := path + ".next"
	return errors.Join(os.WriteFile(next, data, mode), os.Chmod(next, mode), os.Rename(next, path))
}

func TestWatcherConforms(t *testing.T) {
	discoverytest.Run(t, func(t *testing.T) discoverytest.Fixture {
		dir := t.TempDir()
		path := filepath.Join(dir, "servers")
		mode := os.FileMode(0o600)
		putAt := func(path string) func(context.Context, []discovery.Endpoint) error {
			return func(_ context.Context, set []discovery.Endpoint) error {
				if set == nil {
					set = []discovery.Endpoint{}
				}
				data, err := json.Marshal(set)
				return errors.Join(err, replace(path, data, mode))
			}
		}
		if err := putAt(path)(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		return discoverytest.Fixture{
			Watcher: func() (discovery.Watcher, error) { return file.Watcher(path, file.Interval(100*time.Millisecond)), nil },
			Put:     putAt(path),
			Close:   func() error { return os.RemoveAll(dir) },
			// What Cut and Remove would do is in doubt, and PutMalformed too.
			PutSibling: putAt(path + "-2"),
			RevokeAccess: func(context.Context) (func() error, error) {
				mode = 0o622
				return func() error {
					mode = 0o600
					return os.Chmod(path, mode)
				}, os.Chmod(path, mode)
			},
			Timeout: 40 * time.Second,
		}
	})
}
