package model_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// step is a function of the code and its synchronising operations, as the model has
// them: it is named, or the inline or proctype that follows.
var step = regexp.MustCompile(`(?m)^\s*/\* sync( \w+)?:(.*) \*/\n(?:(?:inline|proctype) (\w+)\()?`)

// block is a step that has a name of its own in the model; one that ends in an
// underscore is not of the code.
var block = regexp.MustCompile(`(?m)^(?:inline|proctype) (\w+)\(`)

// within are functions of the code that are steps within the blocks of others.
var within = []string{
	"undemand", "PutWithin", "Placed", "Vacate", "close", "markRetired", "takeLocked", "emptyLocked", "begin", "takeTotal",
	"validate", "choose", "scan", "pass", "upLocked", "vacantLocked", "Place", "retireAllLocked", "Gen", "dialed", "guardedDial", "dialFailed",
	"discard", "release", "TryRelease", "End", "endFlagged", "TryAcquire", "getSlow", "apply", "publish", "teardown", "closeView",
}

// TestEveryStepOfTheModelIsAStepOfTheCode fails when a function that the model
// names is gone, or when it synchronises in another way or another order than
// when the model was written: then the model describes something else.
func TestEveryStepOfTheModelIsAStepOfTheCode(t *testing.T) {
	source, err := os.ReadFile("pool.pml")
	if err != nil {
		t.Fatal(err)
	}
	model := string(source)
	code := functions(t)
	modelled := map[string]bool{}
	for _, m := range block.FindAllStringSubmatch(model, -1) {
		if name := m[1]; !strings.HasSuffix(name, "_") {
			modelled[name] = true
		}
	}
	for _, name := range within {
		modelled[name] = true
	}
	for name := range modelled {
		if code[name] == nil {
			t.Errorf("the model has %s, and the code has not", name)
		}
	}
	steps := step.FindAllStringSubmatch(model, -1)
	if len(steps) < 20 {
		t.Fatalf("%d steps found; the test shows nothing", len(steps))
	}
	for _, m := range steps {
		name, want := strings.TrimSpace(m[1])+m[3], strings.Fields(m[2])
		if m[1] != "" {
			name = strings.TrimSpace(m[1])
		}
		var got [][]string
		for _, f := range code[name] {
			got = append(got, synchronising(f, modelled))
		}
		if !slices.ContainsFunc(got, func(g []string) bool { return slices.Equal(g, want) }) {
			t.Errorf("%s: the model has\n\t%v\nand the code has\n\t%v", name, want, got)
		}
	}
}

// functions returns the functions of core and its slots by name.
func functions(t *testing.T) map[string][]*ast.FuncDecl {
	t.Helper()
	all := map[string][]*ast.FuncDecl{}
	for _, pattern := range []string{"../../*.go", "../slots/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, error %v", pattern, len(files), err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
					all[fn.Name.Name] = append(all[fn.Name.Name], fn)
				}
			}
		}
	}
	return all
}

// operations are those of package atomic and of a mutex.
var operations = []string{"Load", "Store", "Add", "CompareAndSwap", "Swap", "Or", "And", "Lock", "Unlock"}

// synchronising lists, in the order of the source, the operations of f on shared
// variables that the model has, and its calls of functions that the model has.
func synchronising(f *ast.FuncDecl, modelled map[string]bool) (found []string) {
	ast.Inspect(f.Body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		name := ""
		switch fun := call.Fun.(type) {
		case *ast.Ident:
			name = fun.Name
		case *ast.SelectorExpr:
			name = fun.Sel.Name
			if x, ok := fun.X.(*ast.SelectorExpr); ok && slices.Contains(operations, name) {
				if slices.Contains(shared, x.Sel.Name) {
					found = append(found, x.Sel.Name+"."+name)
				}
				return true
			}
		}
		if modelled[name] {
			found = append(found, name)
		}
		return true
	})
	return found
}

// shared are the variables whose operations are steps of the model.
var shared = []string{"mu", "awaited", "woken", "slot", "demand", "total", "view", "Word", "gen"}
