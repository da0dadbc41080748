package report

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheFileIsWhatIsPrinted(t *testing.T) {
	var out strings.Builder
	file := filepath.Join(t.TempDir(), "results.md")
	err := To(&out, file, func(w io.Writer) error {
		for _, s := range []string{"one\n", "two\n"} {
			if _, err := io.WriteString(w, s); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(written) != "one\ntwo\n" || out.String() != "one\ntwo\n" {
		t.Errorf("printed %q, written %q", out.String(), written)
	}
}

func TestAReportThatFailsLeavesTheFileAlone(t *testing.T) {
	broken := errors.New("broken")
	file := filepath.Join(t.TempDir(), "results.md")
	if err := To(io.Discard, file, func(io.Writer) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file was written: %v", err)
	}
}
