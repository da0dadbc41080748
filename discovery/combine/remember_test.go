package combine_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/combine"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

// remembered returns the name of a file with the content; without content the file
// does not exist.
func remembered(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "last.json")
	if content != "" {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

func noError(t *testing.T) func(error) {
	t.Helper()
	return func(err error) { t.Error(err) }
}

func TestProgramStartsWithTheRememberedSetWhileItsRegistryIsDown(t *testing.T) {
	file := remembered(t, "")
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry("a:1/z", "b:1")
		x := watch(t, combine.Remember(r, file, time.Second, noError(t)))
		x.after(0, "a:1/z b:1")
		r.set("a:1/z", "c:1")
		x.after(0, "a:1/z c:1")
		r.set() // is not remembered
		x.after(0, "")
	})
	synctest.Test(t, func(t *testing.T) {
		x := watch(t, combine.Remember(lost{}, file, time.Second, noError(t)))
		x.after(0, "a:1/z c:1")
		x.ended(errDown)
		x = watch(t, combine.Remember(hung{}, file, time.Second, noError(t)))
		x.after(time.Second - 1)
		x.after(1, "a:1/z c:1")
	})
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(file), "*")); err != nil || len(left) != 1 {
		t.Errorf("files are left: %v, %v", left, err)
	}
}

func TestSetThatIsRepeatedIsNotWrittenAgain(t *testing.T) {
	file := remembered(t, "")
	info := func() os.FileInfo {
		i, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry("a:1", "b:1")
		x := watch(t, combine.Remember(r, file, time.Second, noError(t)))
		x.after(0, "a:1 b:1")
		first := info()
		r.set("a:1", "b:1")
		x.after(0)
		if !os.SameFile(first, info()) {
			t.Error("it was")
		}
		r.set("a:1")
		x.after(0, "a:1")
		if os.SameFile(first, info()) {
			t.Error("a change was not written")
		}
	})
}

func TestRememberedSetDoesNotCountOnceTheRegistryHasReported(t *testing.T) {
	file := remembered(t, `[{"Addr":"old:1"}]`)
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry("a:1")
		w := combine.Remember(r, file, time.Minute, noError(t))
		x := watch(t, w)
		x.after(time.Second, "a:1")
		x.stop()
		if err := os.WriteFile(file, []byte(`[{"Addr":"old:1"}]`), 0o600); err != nil {
			t.Fatal(err)
		}
		r.fall()
		x = watch(t, w)
		x.after(time.Second)
		x.ended(errDown)
	})
}

func TestErrorsOfTheFileDoNotStopTheWatch(t *testing.T) {
	for name, file := range map[string]string{
		"no JSON":      remembered(t, "[{"),
		"no directory": filepath.Join(t.TempDir(), "none", "last.json"),
		"a directory":  t.TempDir(),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var errs []string
				failed := func(err error) { errs = append(errs, err.Error()) }
				x := watch(t, combine.Remember(lost{}, file, time.Second, failed))
				x.after(0)
				x.ended(errDown)
				x = watch(t, combine.Remember(static.NewList(discovery.Endpoint{Addr: "a:1"}), file, time.Second, failed))
				x.after(0, "a:1")
				x.stop()
				<-x.done
				if name != "no JSON" && (len(errs) == 0 || !strings.Contains(strings.Join(errs, ";"), "writing the remembered set")) ||
					name != "no directory" && !strings.Contains(strings.Join(errs, ";"), "reading the remembered set") {
					t.Errorf("failed was called with %q", errs)
				}
			})
		})
	}
}
