// Surface counts what a package asks of its readers: exported types, exported
// identifiers (functions, methods, fields, constants, variables, types; an alias
// counts once), and lines of its files and those of its internal packages,
// without tests.
//
//	go run ./surface ../core
package main

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	for _, dir := range os.Args[1:] {
		c, err := count(dir)
		if err != nil {
			fmt.Fprintln(os.Stderr, "surface:", err)
			os.Exit(1)
		}
		fmt.Printf("%s: %d types, %d identifiers, %d lines (%d of code)\n", dir, c.types, c.identifiers, c.lines, c.code)
	}
}

type counts struct{ types, identifiers, lines, code int }

func count(dir string) (c counts, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if err == nil && path != dir && d.Name() != "internal" && !strings.Contains(path, "/internal/") {
				return filepath.SkipDir
			}
			return err
		}
		if filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		if filepath.Dir(path) == filepath.Clean(dir) {
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			for _, d := range f.Decls {
				c.declaration(d)
			}
		}
		return c.file(path)
	})
	return c, err
}

func (c *counts) declaration(d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && (d.Recv == nil || ast.IsExported(receiver(d.Recv.List[0].Type))) {
			c.identifiers++
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.ValueSpec:
				c.names(s.Names)
			case *ast.TypeSpec:
				if s.Name.IsExported() {
					c.types++
					c.identifiers++
					c.members(s.Type)
				}
			}
		}
	}
}

func (c *counts) members(t ast.Expr) {
	var fields *ast.FieldList
	switch t := t.(type) {
	case *ast.StructType:
		fields = t.Fields
	case *ast.InterfaceType:
		fields = t.Methods
	default:
		return
	}
	for _, f := range fields.List {
		c.names(f.Names)
	}
}

func (c *counts) names(names []*ast.Ident) {
	for _, n := range names {
		if n.IsExported() {
			c.identifiers++
		}
	}
}

// receiver returns the name of a receiver's type.
func receiver(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.StarExpr:
		return receiver(t.X)
	case *ast.IndexExpr:
		return receiver(t.X)
	case *ast.Ident:
		return t.Name
	default:
		return ""
	}
}

func (c *counts) file(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		c.lines++
		if line := strings.TrimSpace(s.Text()); line != "" && !strings.HasPrefix(line, "//") {
			c.code++
		}
	}
	return s.Err()
}
