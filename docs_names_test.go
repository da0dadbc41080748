package multipool_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	goName   = regexp.MustCompile(`(?:^|[^\w./"-])([a-z]\w+)\.([A-Z]\w+)`)
	codeSpan = regexp.MustCompile("`([^`\n]+)`")
)

// TestGoNamesInDocumentsExist looks at every name of this repository's packages, such as
// core.New, in the code of Markdown files and of package comments. CHANGELOG.md also has
// names of earlier versions.
func TestGoNamesInDocumentsExist(t *testing.T) {
	exported := exportedNames(t)
	texts := map[string]string{}
	for _, file := range documents(t) {
		if file != "CHANGELOG.md" {
			texts[file] = strings.Join(code.FindAllString(read(t, file), -1), "\n")
		}
	}
	for folder := range importedPackages(t) {
		maps.Copy(texts, packageComments(t, folder))
	}
	names := 0
	for file, text := range texts {
		for _, m := range goName.FindAllStringSubmatch(text, -1) {
			if of := exported[m[1]]; of != nil && !strings.Contains(text, m[1]+" :=") { // or it is a variable
				names++
				if !of[m[2]] {
					t.Errorf("%s: package %s has no %s", file, m[1], m[2])
				}
			}
		}
	}
	if names < 200 {
		t.Errorf("only %d names were found", names)
	}
}

// TestNamesToMoveToAreCompiledByExamples reads the last column of the tables that say
// what replaces the parts of other pools.
func TestNamesToMoveToAreCompiledByExamples(t *testing.T) {
	exported, used := exportedNames(t), namesInExamples(t)
	for _, file := range []string{"docs/migrating.md", "util/MIGRATION.md"} {
		names := 0
		for line := range strings.Lines(read(t, file)) {
			cells := strings.Split(strings.TrimSpace(line), "|")
			if len(cells) < 4 {
				continue
			}
			for _, span := range codeSpan.FindAllStringSubmatch(cells[len(cells)-2], -1) {
				for _, m := range goName.FindAllStringSubmatch(span[1], -1) {
					name := m[1] + "." + m[2]
					if exported[m[1]] == nil && m[1] != "pool" && m[1] != "lease" {
						continue
					}
					names++
					if !used[name] {
						t.Errorf("%s: no Example uses %s", file, name)
					}
				}
			}
		}
		if names < 20 {
			t.Errorf("%s: only %d names were found", file, names)
		}
	}
}

// exportedNames returns what the packages that users import export, by the name of the
// package: declarations, and the methods and fields of types, since a document may say
// core.Stats.Limit.
func exportedNames(t *testing.T) map[string]map[string]bool {
	t.Helper()
	all := map[string]map[string]bool{}
	for folder, name := range importedPackages(t) {
		if all[name] == nil {
			all[name] = map[string]bool{}
		}
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range parsed.Decls {
				switch d := d.(type) {
				case *ast.FuncDecl:
					if d.Recv == nil {
						all[name][d.Name.Name] = true
					}
				case *ast.GenDecl:
					for _, s := range d.Specs {
						switch s := s.(type) {
						case *ast.TypeSpec:
							all[name][s.Name.Name] = true
						case *ast.ValueSpec:
							for _, n := range s.Names {
								all[name][n.Name] = true
							}
						}
					}
				}
			}
		}
	}
	return all
}

// packageComments returns the comments of the package in a folder, by file.
func packageComments(t *testing.T, folder string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	comments := map[string]string{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			t.Fatal(err)
		}
		if parsed.Doc != nil {
			comments[file] = parsed.Doc.Text()
		}
	}
	return comments
}

// namesInExamples returns the goName names that the examples of all packages use.
func namesInExamples(t *testing.T) map[string]bool {
	t.Helper()
	folders := slices.Collect(maps.Keys(importedPackages(t)))
	used := map[string]bool{}
	for _, folder := range append(folders, "examples/migrating") {
		files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(text), "\nfunc Example") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, text, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range doc.Examples(parsed) {
				ast.Inspect(e.Code, func(n ast.Node) bool {
					if s, ok := n.(*ast.SelectorExpr); ok {
						if x, ok := s.X.(*ast.Ident); ok {
							used[x.Name+"."+s.Sel.Name] = true
						}
					}
					return true
				})
			}
		}
	}
	return used
}
