package multipool_test

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// decision is one file of docs/decisions.
type decision struct {
	file, title string
	sections    map[string]string
	order       []string
}

var (
	titleLine = regexp.MustCompile(`^# (\d+)\. (.+)\n`)
	section   = regexp.MustCompile(`(?m)^## (.+)\n`)
	accepted  = regexp.MustCompile(`^(Accepted|Superseded by \[\d+\]\(\d{4}-[a-z0-9-]+\.md\)), \d{4}-\d\d-\d\d\.$`)
	shell     = regexp.MustCompile("(?s)```sh\n(.*?)```")
	testFunc  = regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz|Example)\w*)\(`)
	target    = regexp.MustCompile(`(?m)^([a-z][a-z-]*):`)
	code      = regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
	makeCall  = regexp.MustCompile("(?m)(?:^`?|&& )make ([a-z][a-z-]*)")
	headings  = regexp.MustCompile(`(?m)^#{1,6} (.+)$`)
	link      = regexp.MustCompile(`\]\(([^)\s]+)\)`)
)

func decisions(t *testing.T) (all []decision) {
	t.Helper()
	files, err := filepath.Glob("docs/decisions/[0-9]*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d decisions, error %v", len(files), err)
	}
	for _, file := range files {
		text := read(t, file)
		d := decision{file: filepath.ToSlash(file), sections: map[string]string{}}
		if m := titleLine.FindStringSubmatch(text); m != nil {
			d.title = m[1] + ". " + m[2]
		}
		heads := section.FindAllStringSubmatchIndex(text, -1)
		for i, h := range heads {
			end := len(text)
			if i+1 < len(heads) {
				end = heads[i+1][0]
			}
			name := text[h[2]:h[3]]
			d.order = append(d.order, name)
			d.sections[name] = strings.TrimSpace(text[h[1]:end])
		}
		all = append(all, d)
	}
	return all
}

func TestDecisionsAreNumberedAndHaveEverySection(t *testing.T) {
	want := []string{"Context", "Decision", "Alternatives", "Evidence", "Status"}
	for i, d := range decisions(t) {
		if number := fmt.Sprintf("%04d-", i+1); !strings.HasPrefix(path.Base(d.file), number) {
			t.Errorf("%s does not begin with %s: numbers are consecutive", d.file, number)
		}
		if !strings.HasPrefix(d.title, fmt.Sprintf("%d. ", i+1)) {
			t.Errorf("%s has the title %q; its first line is \"# %d. What was decided\"", d.file, d.title, i+1)
		}
		if !slices.Equal(d.order, want) {
			t.Errorf("%s has the sections %q, want %q", d.file, d.order, want)
			continue
		}
		for _, name := range want {
			if d.sections[name] == "" {
				t.Errorf("%s: %s is empty", d.file, name)
			}
		}
		if s := d.sections["Status"]; !accepted.MatchString(s) {
			t.Errorf("%s has the status %q; want \"Accepted, 2026-01-31.\" or \"Superseded by [12](0012-title.md), 2026-01-31.\"", d.file, s)
		}
	}
}

func TestDesignListsEveryDecision(t *testing.T) {
	design := read(t, "DESIGN.md")
	for _, d := range decisions(t) {
		if entry := "- [" + d.title + "](" + d.file + ")"; !strings.Contains(design, entry+"\n") {
			t.Errorf("DESIGN.md has no line\n%s", entry)
		}
	}
}

// TestEvidenceOfDecisionsExists does not run the commands: the gate runs the tests, and
// measurements take minutes.
func TestEvidenceOfDecisionsExists(t *testing.T) {
	targets := makeTargets(t)
	for _, d := range decisions(t) {
		commands := 0
		for _, block := range shell.FindAllStringSubmatch(d.sections["Evidence"], -1) {
			for line := range strings.Lines(block[1]) {
				words := strings.Fields(line)
				if len(words) == 0 || words[0] == "#" {
					continue
				}
				commands++
				if problem := checkCommand(t, words, targets); problem != "" {
					t.Errorf("%s: %s: %s", d.file, strings.TrimSpace(line), problem)
				}
			}
		}
		if commands == 0 {
			t.Errorf("%s: Evidence has no command in a block of sh", d.file)
		}
	}
}

// checkCommand returns what is wrong with a command, or "".
func checkCommand(t *testing.T, words []string, targets []string) string {
	t.Helper()
	if len(words) == 2 && words[0] == "make" {
		if !slices.Contains(targets, words[1]) {
			return "the Makefile has no such target"
		}
		return ""
	}
	if len(words) < 5 || words[0] != "go" || words[1] != "test" {
		return "neither make TARGET nor go test -run 'Test...' ./package"
	}
	folder := words[len(words)-1]
	files, _ := filepath.Glob(filepath.Join(folder, "*_test.go"))
	var functions []string
	for _, file := range files {
		for _, m := range testFunc.FindAllStringSubmatch(read(t, file), -1) {
			functions = append(functions, m[1])
		}
	}
	flags := words[2 : len(words)-1]
	for i := 0; i+1 < len(flags); i += 2 {
		if flags[i] != "-run" && flags[i] != "-bench" {
			return "only -run and -bench are known, each with a value"
		}
		for name := range strings.SplitSeq(strings.Trim(flags[i+1], "'"), "|") {
			if name != "^$" && !slices.Contains(functions, name) {
				return folder + " has no " + name
			}
		}
	}
	return ""
}

func TestDocumentsNameOnlyTargetsOfTheMakefile(t *testing.T) {
	targets := makeTargets(t)
	for _, file := range documents(t) {
		for _, piece := range code.FindAllString(read(t, file), -1) {
			for _, m := range makeCall.FindAllStringSubmatch(piece, -1) {
				if !slices.Contains(targets, m[1]) {
					t.Errorf("%s: the Makefile has no target %s", file, m[1])
				}
			}
		}
	}
}

func TestRelativeLinksOfDocumentsResolve(t *testing.T) {
	links := 0
	for _, file := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(read(t, file), ""), -1) {
			to, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(to, ":") {
				continue // on another host
			}
			links++
			target := file
			if to != "" {
				target = filepath.Join(filepath.Dir(file), to)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", file, m[1], err)
			} else if anchor != "" && !slices.Contains(anchors(t, target), anchor) {
				t.Errorf("%s links to %s, where there is no such heading", file, m[1])
			}
		}
	}
	if links == 0 {
		t.Error("no document has a relative link, or this test sees none")
	}
}

// anchors returns the names by which the headings of a document are linked to.
func anchors(t *testing.T, file string) (names []string) {
	t.Helper()
	for _, m := range headings.FindAllStringSubmatch(code.ReplaceAllStringFunc(read(t, file), func(piece string) string {
		return strings.Trim(piece, "`")
	}), -1) {
		var name strings.Builder
		for _, r := range strings.ToLower(m[1]) {
			switch {
			case r == ' ':
				name.WriteByte('-')
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				name.WriteRune(r)
			}
		}
		names = append(names, name.String())
	}
	return names
}

// TestReadmeIsShort holds the README to what a newcomer reads in five minutes.
func TestReadmeIsShort(t *testing.T) {
	const most = 1100
	if words := len(strings.Fields(read(t, "README.md"))); words > most {
		t.Errorf("README.md has %d words, at most %d are read", words, most)
	}
}

// documents returns every Markdown file of the repository, those of nested modules
// included.
func documents(t *testing.T) []string {
	t.Helper()
	return filesOf(t, ".md")
}

// filesOf returns the files of the repository with this extension, but test data.
func filesOf(t *testing.T, extension string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && file != "." && (d.Name() == "testdata" || d.Name()[0] == '.') {
			return filepath.SkipDir
		}
		if filepath.Ext(file) == extension {
			files = append(files, file)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func makeTargets(t *testing.T) (names []string) {
	t.Helper()
	for _, m := range target.FindAllStringSubmatch(read(t, "Makefile"), -1) {
		names = append(names, m[1])
	}
	return names
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
