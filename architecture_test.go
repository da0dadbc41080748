package multipool_test

import (
	"errors"
	"fmt"
	"go/ast"
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

// layers says which packages of the root module each of them may import beside
// the standard library: its own layer, and those named. Packages further down in
// a folder belong to its layer, except those listed themselves.
var layers = map[string][]string{
	"":                              nil,
	"internal/brief":                nil,
	"internal/callee":               nil,
	"internal/ctxerr":               nil,
	"internal/leak":                 nil,
	"internal/duration":             nil,
	"internal/load":                 nil,
	"internal/printing":             nil,
	"discovery":                     {"internal/brief", "internal/duration"},
	"discovery/format":              {"discovery", "internal/brief"},
	"discovery/static":              {"discovery"},
	"discovery/file":                {"discovery", "discovery/internal/option", "discovery/internal/trusted", "discovery/internal/wait"},
	"discovery/lifecycle":           {"discovery", "discovery/internal/wait"},
	"discovery/combine":             {"discovery", "discovery/internal/trusted", "internal/brief", "internal/duration"},
	"discovery/discoverytest":       {"discovery", "internal/leak"},
	"discovery/internal/memo":       {},
	"discovery/internal/option":     nil,
	"discovery/internal/trusted":    nil,
	"discovery/internal/wait":       {"discovery"},
	"discovery/internal/survey":     {"discovery", "discovery/format"},
	"discovery/internal/plugintest": {"discovery", "discovery/discoverytest"},
	"balance":                       {"discovery", "internal/load"},
	"balance/balancetest":           {"balance", "discovery", "internal/load"},
	"outlier":                       {"balance", "discovery", "internal/load"},
	"metrics":                       nil,
	"retry":                         {"balance", "internal/ctxerr"},
	"core":                          {"discovery", "balance", "metrics", "outlier", "retry", "internal/brief", "internal/callee", "internal/ctxerr", "internal/load"},
	"core/pooltest":                 {"core", "discovery", "discovery/static"},
	"config":                        {"core", "balance", "discovery", "discovery/combine", "internal/duration"},
	"observe":                       {"balance", "core", "discovery", "metrics", "outlier", "retry"},
	"protocol":                      {"core", "discovery", "balance", "retry", "internal/brief", "internal/callee", "internal/ctxerr"},
	"protocol/internal/prototest":   {"internal/leak"},
	"protocol/protocoltest":         {"internal/leak"},
}

func TestImportsPointDown(t *testing.T) {
	root, _ := packages(t)
	for _, p := range root {
		own := layer(p.path)
		if p.path == module {
			own = "" // the documentation of the whole
		}
		if _, ok := layers[own]; !ok {
			t.Errorf("%s is in no layer: name it in the table above", p.path)
			continue
		}
		for _, i := range p.imports {
			if to := layer(i.path); root.has(i.path) && to != own && !slices.Contains(layers[own], to) && !i.test() {
				t.Errorf("%s imports %s, which is not below %s", i.file, i.path, own)
			}
		}
	}
}

// TestCoreKnowsNoImplementationOfAContract reads the sources of core: no type
// assertion and no type switch names a type of another package, except the
// interfaces that package balance has for that purpose.
func TestCoreKnowsNoImplementationOfAContract(t *testing.T) {
	files, err := filepath.Glob("core/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, error %v", len(files), err)
	}
	allowed := []string{"balance.Ticker"}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, typ := range assertedTypes(f) {
			if name := qualified(typ); name != "" && !slices.Contains(allowed, name) {
				t.Errorf("%s: core looks for %s", fset.Position(typ.Pos()), name)
			}
		}
	}
	// The test would see one.
	f, err := parser.ParseFile(token.NewFileSet(), "", `package p
		func f(x any) { _ = x.(*balance.A); switch x.(type) { case balance.B[int]: case *balance.C, D, interface{ M() }: } }`, 0)
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	for _, typ := range assertedTypes(f) {
		if name := qualified(typ); name != "" {
			seen = append(seen, name)
		}
	}
	if want := []string{"balance.A", "balance.B", "balance.C"}; !slices.Equal(seen, want) {
		t.Errorf("the test sees %q of %q", seen, want)
	}
}

// assertedTypes returns the types that type assertions and type switches name.
func assertedTypes(f *ast.File) (types []ast.Expr) {
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.TypeAssertExpr:
			if n.Type != nil { // else it is that of a switch
				types = append(types, n.Type)
			}
		case *ast.TypeSwitchStmt:
			for _, c := range n.Body.List {
				if c, ok := c.(*ast.CaseClause); ok {
					types = append(types, c.List...)
				}
			}
		}
		return true
	})
	return types
}

// qualified returns the name of a type of another package, or "".
func qualified(typ ast.Expr) string {
	switch typ := typ.(type) {
	case *ast.StarExpr:
		return qualified(typ.X)
	case *ast.IndexExpr:
		return qualified(typ.X)
	case *ast.SelectorExpr:
		if pkg, ok := typ.X.(*ast.Ident); ok {
			return pkg.Name + "." + typ.Sel.Name
		}
	}
	return ""
}

func TestEveryModuleIsInTheWorkspaceExceptToolsBenchAndInterop(t *testing.T) {
	work, err := os.ReadFile("go.work")
	if err != nil {
		t.Fatal(err)
	}
	used := strings.Fields(string(work))
	_, nested := packages(t)
	for _, dir := range nested {
		top, _, _ := strings.Cut(dir, "/")
		if listed := slices.Contains(used, "./"+dir); listed != !slices.Contains([]string{"tools", "bench", "interop"}, top) {
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

// layer returns the layer of a package of this module: the longest of the table
// that it is in, or its top folder.
func layer(path string) string {
	rest, _ := strings.CutPrefix(path, module+"/")
	for at := rest; at != "."; at = filepath.ToSlash(filepath.Dir(at)) {
		if _, ok := layers[at]; ok {
			return at
		}
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
