package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/token"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/exp/apidiff"
	"golang.org/x/mod/semver"
	"golang.org/x/tools/go/packages"
)

// compare prints what has changed in the API of each module since the last
// release, and fails if the version promises that less has.
func (r *repo) compare(version, tree, dir string) error {
	last, err := r.last()
	if err != nil {
		return err
	}
	if last == "" {
		fmt.Println("    API: nothing is released yet to compare with")
		return nil
	}
	// Each module is loaded in a checkout, where its replace lines count.
	before, after := filepath.Join(dir, "before"), filepath.Join(dir, "after")
	for to, rev := range map[string]string{before: last, after: tree} {
		if _, err := git("", "clone", "-q", "--shared", "--no-checkout", r.dir, to); err != nil {
			return err
		}
		if _, err := git(to, "checkout", "-q", "--detach", rev); err != nil {
			return err
		}
	}
	broken := ""
	for _, m := range r.released {
		if _, err := os.Stat(filepath.Join(before, m.dir, "go.mod")); err != nil {
			fmt.Printf("    API: %s is new since %s\n", m.path, last)
			continue
		}
		a, err := api(before, m)
		if err != nil {
			return err
		}
		b, err := api(after, m)
		if err != nil {
			return err
		}
		report := apidiff.ModuleChanges(a, b)
		if len(report.Changes) == 0 {
			continue
		}
		var text bytes.Buffer
		if err := report.Text(&text); err != nil {
			return err
		}
		fmt.Printf("    API: %s since %s\n%s", m.path, last, &text)
		for _, c := range report.Changes {
			if !c.Compatible && !strings.HasSuffix(broken, m.path) {
				broken += " " + m.path
			}
		}
	}
	if broken != "" && version != last && !mayBreak(last, version) {
		return fmt.Errorf("%s after %s promises that nothing breaks, but the API is incompatible in%s", version, last, broken)
	}
	return nil
}

// api loads what a module exports, from a checkout.
func api(checkout string, m mod) (*apidiff.Module, error) {
	loaded, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedTypes,
		Dir:  filepath.Join(checkout, m.dir),
		Env:  append(os.Environ(), "GOWORK=off"),
		Fset: token.NewFileSet(),
	}, m.path+"/...")
	if err != nil {
		return nil, err
	}
	out := &apidiff.Module{Path: m.path}
	var errs []error
	for _, p := range loaded {
		for _, e := range p.Errors {
			errs = append(errs, e)
		}
		if !internal(p.PkgPath) {
			out.Packages = append(out.Packages, p.Types)
		}
	}
	return out, errors.Join(errs...)
}

// internal reports whether a package cannot be imported by users.
func internal(path string) bool { return strings.Contains(path+"/", "/internal/") }

// mayBreak reports whether a version may have incompatible changes after
// another.
func mayBreak(last, version string) bool {
	if semver.Major(version) == "v0" {
		return semver.MajorMinor(last) != semver.MajorMinor(version)
	}
	return semver.Major(last) != semver.Major(version)
}
