package multipool_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// notImported are the folders whose packages no user imports.
var notImported = []string{"bench", "cmd", "examples", "findings", "integration", "interop", "tools"}

// TestEveryPackageHasAnExampleOfItsMainUse reads the files of nested modules too. An
// example counts if a test compiles it and it calls the package; pkg.go.dev shows it.
func TestEveryPackageHasAnExampleOfItsMainUse(t *testing.T) {
	packages := 0
	for folder, name := range importedPackages(t) {
		packages++
		if used := examplesThatUse(t, folder, name); len(used) == 0 {
			t.Errorf("package %s has no Example that uses it: write one in %s/example_test.go", folder, folder)
		}
	}
	if packages < 30 {
		t.Errorf("only %d packages were found", packages)
	}
}

// TestCoreHasAnExampleOfEachMainUse lists what a program does with a pool.
func TestCoreHasAnExampleOfEachMainUse(t *testing.T) {
	have := examplesThatUse(t, "core", "core")
	for _, want := range []string{
		"New", "Call", "Pool_Do", "Pool_Get", "Hedged", "WithKey", "WithObserver", "Pool_Set",
	} {
		if !slices.Contains(have, want) {
			t.Errorf("core has no Example%s; it has %q", want, have)
		}
	}
}

// importedPackages returns the names of the packages that users import, by folder.
// Generated ones count as the test's of their parent.
func importedPackages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			base := d.Name()
			if file != "." && (base[0] == '.' || base == "internal" || base == "testdata" || slices.Contains(notImported, file)) {
				return filepath.SkipDir
			}
			return nil
		}
		folder := filepath.ToSlash(filepath.Dir(file))
		if folder == "." || filepath.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if strings.HasPrefix(string(text), "// Code generated") {
			delete(found, folder)
			return filepath.SkipDir
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, text, parser.PackageClauseOnly)
		if err == nil && parsed.Name.Name != "main" {
			found[folder] = parsed.Name.Name
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// examplesThatUse returns the examples in a folder, without "Example", in the order of
// their names, that refer to the package of that name.
func examplesThatUse(t *testing.T, folder, name string) (used []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range doc.Examples(parsed) {
			uses := parsed.Name.Name == name // inside the package nothing names it
			ast.Inspect(e.Code, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					x, ok := s.X.(*ast.Ident)
					uses = uses || ok && x.Name == name
				}
				return true
			})
			if uses {
				used = append(used, e.Name)
			}
		}
	}
	return used
}

// TestEveryRegistryListsItsURLParameters looks for the test that compares the list in
// the package comment of a plugin with the parameters of its URLs.
func TestEveryRegistryListsItsURLParameters(t *testing.T) {
	plugins := 0
	for folder := range importedPackages(t) {
		if path.Dir(folder) != "discovery" {
			continue
		}
		opener, checks, generates := false, false, false
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text := read(t, file)
			if strings.HasSuffix(file, "_test.go") {
				checks = checks || strings.Contains(text, "plugintest.CheckOptions(") || strings.Contains(text, "plugintest.CheckParameters(")
				continue
			}
			opener = opener || strings.Contains(text, "\nfunc Opener(p") || strings.Contains(text, "\nfunc Opener(*discovery.Params)")
			generates = generates || strings.Contains(text, "\n//go:generate env UPDATE_DOC=1 go test ")
		}
		if !opener {
			continue
		}
		plugins++
		if !checks || !generates {
			t.Errorf("%s: a test calls CheckOptions or CheckParameters of plugintest: %v; go generate runs it: %v", folder, checks, generates)
		}
	}
	if plugins < 8 {
		t.Errorf("only %d registries were found", plugins)
	}
}
