package multipool_test

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/minicaptain/multi_connection_pool"

// These tests read the sources instead of asking "go list -deps": they so
// cover test files and every platform too, and go test, which knows the files
// that a test opens, does not answer from its cache when an import changes.

func TestRootModuleRequiresNothing(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if line := regexp.MustCompile(`(?m)^\s*(require|replace|tool)\b.*`).Find(mod); line != nil {
		t.Errorf("go.mod says %q; what has a dependency belongs in a module of its own", line)
	}
}

func TestRootModuleImportsOnlyTheStandardLibraryAndItself(t *testing.T) {
	root, _ := packages(t)
	for _, p := range root {
		for _, i := range p.imports {
			if !i.standard() && !root.has(i.path) {
				t.Errorf("%s imports %s, which is neither in the standard library nor in this module", i.file, i.path)
			}
		}
	}
}

func TestCoreImportsOnlyTheStandardLibraryAndItself(t *testing.T) {
	root, _ := packages(t)
	if !root.has(module + "/core") {
		t.Fatal("there is no package core")
	}
	for _, p := range root {
		if p.layer() != "core" {
			continue
		}
		for _, i := range p.imports {
			if !i.standard() && layer(i.path) != "core" {
				t.Errorf("%s imports %s; others depend on core, core on none of them", i.file, i.path)
			}
		}
	}
}

func TestOtherFoldersImportOnlyCoreAndThemselves(t *testing.T) {
	root, _ := packages(t)
	for _, p := range root {
		for _, i := range p.imports {
			if l := layer(i.path); root.has(i.path) && l != "core" && l != p.layer() && !i.test() {
				t.Errorf("%s imports %s; what %s and %s share belongs in core", i.file, i.path, p.layer(), l)
			}
		}
	}
}

func TestEveryModuleIsInTheWorkspaceExceptToolsAndBench(t *testing.T) {
	work, err := os.ReadFile("go.work")
	if err != nil {
		t.Fatal(err)
	}
	used := strings.Fields(string(work))
	_, nested := packages(t)
	for _, dir := range nested {
		if listed := slices.Contains(used, "./"+dir); listed != (dir != "tools" && dir != "bench") {
			t.Errorf("%s/go.mod exists, and go.work lists it: %t", dir, listed)
		}
	}
}

// set holds the packages of the root module by import path.
type set map[string]*pkg

func (s set) has(path string) bool { return s[path] != nil }

type pkg struct {
	path    string
	imports []imported
}

func (p *pkg) layer() string { return layer(p.path) }

// layer returns the top folder of a package of this module, or "".
func layer(path string) string {
	rest, _ := strings.CutPrefix(path, module+"/")
	if rest == path {
		return ""
	}
	first, _, _ := strings.Cut(rest, "/")
	return first
}

type imported struct{ file, path string }

// standard uses the go command's own rule: paths whose first element has no
// dot are reserved for the standard library.
func (i imported) standard() bool {
	first, _, _ := strings.Cut(i.path, "/")
	return !strings.Contains(first, ".")
}

func (i imported) test() bool { return strings.HasSuffix(i.file, "_test.go") }

// packages reads the imports of all packages of the root module, and the
// folders of the modules nested in it.
func packages(t *testing.T) (root set, nested []string) {
	t.Helper()
	root = set{}
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if file == "." {
				return nil
			}
			if name := d.Name(); name == "testdata" || name[0] == '.' || name[0] == '_' {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(file, "go.mod")); !errors.Is(err, fs.ErrNotExist) {
				nested = append(nested, filepath.ToSlash(file))
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(file) != ".go" {
			return nil
		}
		return root.add(file)
	})
	if err != nil {
		t.Fatal(err)
	}
	return root, nested
}

func (s set) add(file string) error {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		return err
	}
	name := path.Join(module, path.Dir(filepath.ToSlash(file)))
	p := s[name]
	if p == nil {
		p = &pkg{path: name}
		s[name] = p
	}
	for _, spec := range f.Imports {
		to, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return fmt.Errorf("%s: import %s: %w", file, spec.Path.Value, err)
		}
		p.imports = append(p.imports, imported{file, to})
	}
	return nil
}
