package util_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestEveryExportedNameIsDeprecated(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	p, err := doc.NewFromFiles(fset, files, "util") // leaves the exported names
	if err != nil {
		t.Fatal(err)
	}

	var checked []string
	check := func(name, text string) {
		checked = append(checked, name)
		if !strings.Contains("\n"+text, "\nDeprecated: ") {
			t.Errorf("%s is not deprecated", name)
		}
	}
	values := func(all []*doc.Value) {
		for _, v := range all {
			for _, s := range v.Decl.Specs {
				s := s.(*ast.ValueSpec)
				for _, n := range s.Names {
					check(n.Name, v.Doc+s.Doc.Text())
				}
			}
		}
	}
	funcs := func(prefix string, all []*doc.Func) {
		for _, f := range all {
			check(prefix+f.Name, f.Doc)
		}
	}
	check("package util", p.Doc)
	values(slices.Concat(p.Consts, p.Vars))
	funcs("", p.Funcs)
	for _, typ := range p.Types {
		check(typ.Name, typ.Doc)
		values(slices.Concat(typ.Consts, typ.Vars))
		funcs("", typ.Funcs)
		funcs(typ.Name+".", typ.Methods)
		ast.Inspect(typ.Decl, func(n ast.Node) bool {
			f, ok := n.(*ast.Field)
			if ok {
				for _, n := range f.Names {
					check(typ.Name+"."+n.Name, f.Doc.Text())
				}
			}
			return !ok // the fields of a field have no names to deprecate
		})
	}
	for _, want := range []string{"ErrPoolExhausted", "CloseTimeout", "MultiPool.Put", "MultiPool.ZkNode", "Conn.Health"} {
		if !slices.Contains(checked, want) {
			t.Errorf("the test does not see %s", want)
		}
	}
}
