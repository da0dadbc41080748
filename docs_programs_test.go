package multipool_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	goBlock   = regexp.MustCompile("(?s)```go\n(.*?)```")
	goCommand = regexp.MustCompile("(?m)(?:^\\s*|`)go (?:run|test|build|generate) (?:-[a-zA-Z]+(?:=\\S+| [./]\\S+)? )*(\\./[\\w./-]+)")
)

// commands are the commands of all documents, and where they are run, or why they are
// not. Those of docs/decisions are in TestEvidenceOfDecisionsExists.
var commands = map[string]string{
	"go run ./examples/quickstart": "run by the tests of examples/quickstart",
	"go test ./core/...":           "run by the gate (check-race)",
	"go test work":                 "make check runs it with the race detector",
	"make help":                    "its list is that of TestMakeHelpListsEveryTarget",
	"make release-check":           "run by the gate",
	"go run ./cmd/multipool ls zk://10.0.0.1/services/echo":                                "run by the tests of cmd/multipool, which build the command",
	"go get -tool github.com/minicaptain/multi_connection_pool/cmd/multipool":              "not run: it needs a version that is tagged; make release-check builds the module",
	"go tool multipool ls zk://10.0.0.1/services/echo":                                     "not run: see go get -tool",
	"go work init . ../multi_connection_pool ../multi_connection_pool/protocol/thriftpool": "run by the tests of examples/readme",

	`make registries-up && eval "$(integration/cluster env)"`: "not run: make integration does the same with containers of its own",
	"make registries-down":                   "not run: see registries-up",
	"go test -C discovery/zk ./...":          "run by make integration",
	"go test -C integration -v -run Quorum":  "run by make integration",
	"make release VERSION=v0.2.0":            "not run: it commits; tests of tools/release run each of its steps",
	"make bench-compare OLD=main":            "not run: minutes; the gate builds and tests bench",
	"make bench-compare OLD=main ARGS=-pick": "not run: minutes; the gate builds and tests bench",
}

func TestEveryCommandOfADocumentIsRunOrSaysWhyNot(t *testing.T) {
	unseen := maps.Clone(commands)
	for _, file := range documents(t) {
		if strings.HasPrefix(filepath.ToSlash(file), "docs/decisions/") {
			continue
		}
		for _, block := range shell.FindAllStringSubmatch(read(t, file), -1) {
			for line := range strings.Lines(block[1]) {
				command, _, _ := strings.Cut(line, " #")
				command = strings.TrimSpace(command)
				if command == "" {
					continue
				}
				if _, ok := commands[command]; !ok {
					t.Errorf("%s: %q is not in the table of commands", file, command)
				}
				delete(unseen, command)
			}
		}
	}
	for command := range unseen {
		t.Errorf("no document has the command %q", command)
	}
}

// TestProgramsOfDocumentsAreCompiled looks for the lines of each block of Go in a source
// file: the examples and tests that have them are compiled by the gate.
func TestProgramsOfDocumentsAreCompiled(t *testing.T) {
	sources := goSources(t)
	blocks := 0
	for _, file := range documents(t) {
		for _, block := range goBlock.FindAllStringSubmatch(read(t, file), -1) {
			blocks++
			want := trimLines(block[1])
			if !slices.ContainsFunc(sources, func(text string) bool { return strings.Contains(text, want) }) {
				t.Errorf("%s: no Go file has the program\n%s", file, block[1])
			}
		}
	}
	if blocks < 6 {
		t.Errorf("only %d programs were found", blocks)
	}
}

// TestCommandsNameFoldersThatExist looks at the text of documents and at the comments of
// packages, those of commands included.
func TestCommandsNameFoldersThatExist(t *testing.T) {
	found := 0
	check := func(file, text string) {
		for _, m := range goCommand.FindAllStringSubmatch(text, -1) {
			found++
			folder := strings.TrimSuffix(strings.TrimSuffix(m[1], "..."), "/")
			if !slices.ContainsFunc(above(file), func(dir string) bool {
				_, err := os.Stat(filepath.Join(dir, folder))
				return err == nil
			}) {
				t.Errorf("%s: %s: there is no such folder", file, strings.TrimSpace(m[0]))
			}
		}
	}
	for _, file := range documents(t) {
		check(file, strings.Join(code.FindAllString(read(t, file), -1), "\n"))
	}
	for _, file := range goFiles(t) {
		comment, _, _ := strings.Cut("\n"+read(t, file), "\npackage ")
		check(file, strings.ReplaceAll(comment, "\n//\t", "\n"))
	}
	if found < 10 {
		t.Errorf("only %d commands were found", found)
	}
}

// above returns the folders that a file is in: a command may be meant for the module.
func above(file string) (dirs []string) {
	for dir := filepath.Dir(file); ; dir = filepath.Dir(dir) {
		dirs = append(dirs, dir)
		if dir == "." {
			return dirs
		}
	}
}

// TestMakeHelpListsEveryTarget reads what make help prints: the comments of targets.
func TestMakeHelpListsEveryTarget(t *testing.T) {
	text := read(t, "Makefile")
	for _, name := range makeTargets(t) {
		if !regexp.MustCompile(`(?m)^` + name + `:.*## \S`).MatchString(text) {
			t.Errorf("the target %s has no comment that begins with ##", name)
		}
	}
}

// trimLines returns a text without indentation, empty lines included.
func trimLines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimSpace(line) + "\n")
	}
	return b.String()
}

func goSources(t *testing.T) (texts []string) {
	t.Helper()
	for _, file := range goFiles(t) {
		texts = append(texts, trimLines(read(t, file)))
	}
	return texts
}

// goFiles returns all Go files of the repository.
func goFiles(t *testing.T) []string {
	t.Helper()
	return filesOf(t, ".go")
}
