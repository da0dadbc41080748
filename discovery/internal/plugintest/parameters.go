package plugintest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

const (
	heading  = "# URL parameters\n"
	docWidth = 92
)

// CheckParameters checks that the package comment of the plugin in the current folder
// ends with the section "URL parameters" that its parameters make. With UPDATE_DOC=1 in
// the environment, as go generate sets it, CheckParameters writes the section instead.
// opener is the plugin's.
func CheckParameters(t *testing.T, opener discovery.Opener) {
	t.Helper()
	var mux discovery.Mux
	mux.Handle("plugin", opener)
	file, text := packageComment(t)
	want := withParameters(text, mux.Params("plugin"))
	_, section, _ := strings.Cut(want, heading)
	switch {
	case text == want:
	case os.Getenv("UPDATE_DOC") == "1":
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil { //nolint:gosec // a source file
			t.Fatal(err)
		}
	default:
		t.Errorf("%s: the section %q is not what the parameters make of it; run go generate, which writes\n%s",
			file, strings.TrimSpace(heading), section)
	}
}

// packageComment returns the file in the current folder that has the comment of the
// package, and its text.
func packageComment(t *testing.T) (file, text string) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if text := string(data); strings.HasPrefix(text, "// Package ") {
			return file, text
		}
	}
	t.Fatal("no file begins with the comment of the package")
	return "", ""
}

// withParameters returns the text of a file with the section of these parameters at the
// end of the package comment, in place of the one that was there.
func withParameters(text string, params []discovery.Param) string {
	comment, rest, _ := strings.Cut(text, "\npackage ")
	comment, _, _ = strings.Cut(comment, "//\n// "+heading)
	var b strings.Builder
	b.WriteString(strings.TrimSuffix(comment, "\n") + "\n//\n// " + heading + "//\n")
	for _, p := range params {
		what := p.Name + ": " + p.Doc + " (" + p.Type
		if p.Default != "" {
			what += "; default " + p.Default
		}
		wrap(&b, what+").")
	}
	b.WriteString("package " + rest)
	return b.String()
}

// wrap writes an item of a list in a comment.
func wrap(b *strings.Builder, item string) {
	line := "//   -"
	for word := range strings.FieldsSeq(item) {
		if len(line)+1+len(word) > docWidth {
			b.WriteString(line + "\n")
			line = "//    "
		}
		line += " " + word
	}
	b.WriteString(line + "\n")
}
