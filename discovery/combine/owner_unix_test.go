//go:build unix

package combine_test

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery/combine"
)

// TestFileThatOthersMayHaveWrittenIsNotRead is about whom a program believes that
// starts without its registry.
func TestFileThatOthersMayHaveWrittenIsNotRead(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(file string) error
		want    string
	}{
		"everybody may write it": {func(file string) error { return os.Chmod(file, 0o606) }, "may write it"},
		"its group may":          {func(file string) error { return os.Chmod(file, 0o660) }, "may write it"},
		"it is a named pipe": {func(file string) error {
			if err := os.Remove(file); err != nil {
				return err
			}
			return syscall.Mkfifo(file, 0o600)
		}, "no regular file"},
		"it is large":                     {func(file string) error { return os.Truncate(file, 16<<20+1) }, "more than 16777216 bytes"},
		"some of its entries are no good": {func(file string) error { return os.WriteFile(file, []byte(`[{"Addr":"x"}]`), 0o600) }, "missing port"},
	} {
		t.Run(name, func(t *testing.T) {
			file := remembered(t, `[{"Addr":"a:1"}]`)
			if err := c.prepare(file); err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				var errs []string
				x := watch(t, combine.Remember(lost{}, file, time.Second, func(err error) { errs = append(errs, err.Error()) }))
				x.after(0)
				x.ended(errDown)
				if len(errs) != 1 || !strings.Contains(errs[0], c.want) {
					t.Errorf("failed was called with %q, want %q", errs, c.want)
				}
			})
		})
	}
}

func TestInvalidEntriesOfTheFileDoNotCount(t *testing.T) {
	file := remembered(t, `[{"Addr":"a:1"},{"Addr":"x"},{"Addr":"b:1"}]`)
	synctest.Test(t, func(t *testing.T) {
		told := 0
		x := watch(t, combine.Remember(lost{}, file, time.Second, func(error) { told++ }))
		x.after(0, "a:1 b:1")
		x.ended(errDown)
		if told != 1 {
			t.Errorf("told of %d errors", told)
		}
	})
}
