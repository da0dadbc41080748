package main

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// unreleased are the folders of modules that no user requires: programs, tests and
// measurements, which run in a checkout.
var unreleased = []string{"bench", "examples", "integration", "interop", "tools"}

// repo is the repository and its modules.
type repo struct {
	dir      string
	files    map[string]*modfile.File // all go.mod files by folder; "" is the root's
	released []mod                    // root first
}

// mod is a module of the repository.
type mod struct {
	path string
	dir  string // relative; "" is the root
}

// tag returns the name of the tag by which the go command finds a version.
func (m mod) tag(version string) string { return path.Join(m.dir, version) }

func open(dir string) (*repo, error) {
	list, err := git(dir, "ls-files", "go.mod", "*/go.mod")
	if err != nil {
		return nil, err
	}
	r := &repo{dir: dir, files: make(map[string]*modfile.File)}
	for name := range strings.FieldsSeq(list) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		f, err := modfile.Parse(name, data, nil)
		if err != nil {
			return nil, err
		}
		sub := strings.TrimSuffix(strings.TrimSuffix(name, "go.mod"), "/")
		r.files[sub] = f
		if top, _, _ := strings.Cut(sub, "/"); !slices.Contains(unreleased, top) {
			r.released = append(r.released, mod{path: f.Module.Mod.Path, dir: sub})
		}
	}
	if r.files[""] == nil {
		return nil, errors.New("the repository has no go.mod")
	}
	slices.SortFunc(r.released, func(a, b mod) int { return strings.Compare(a.dir, b.dir) })
	return r, nil
}

// own reports whether a path is that of a module of this repository.
func (r *repo) own(path string) bool {
	root := r.files[""].Module.Mod.Path
	return path == root || strings.HasPrefix(path, root+"/")
}

// version returns the version that the modules require of each other. It is an
// error if they do not agree, or if it is none that could be released: outside of
// this repository the replace lines do not count, and the go command looks for
// exactly that version.
func (r *repo) version() (string, error) {
	version, from := "", ""
	var errs []error
	for _, sub := range r.folders() {
		for _, req := range r.files[sub].Require {
			if !r.own(req.Mod.Path) {
				continue
			}
			where := fmt.Sprintf("%s/go.mod requires %s %s", sub, req.Mod.Path, req.Mod.Version)
			switch {
			case valid(req.Mod.Version) != nil:
				errs = append(errs, fmt.Errorf("%s, which is no release: %w", where, valid(req.Mod.Version)))
			case version == "":
				version, from = req.Mod.Version, where
			case version != req.Mod.Version:
				errs = append(errs, fmt.Errorf("%s, but %s", where, from))
			}
		}
	}
	return version, errors.Join(errs...)
}

// folders returns the folders that have a go.mod, sorted.
func (r *repo) folders() []string {
	var all []string
	for sub := range r.files {
		all = append(all, sub)
	}
	slices.Sort(all)
	return all
}

// valid returns why a version cannot be released, or nil.
func valid(version string) error {
	switch {
	case semver.Canonical(version) != version || semver.Build(version) != "":
		return errors.New("a version is like v0.1.0 or v0.1.0-rc.1")
	case module.IsPseudoVersion(version):
		return errors.New("the version is that of a commit")
	case semver.Compare(version, "v0.0.0") <= 0:
		return errors.New("v0.0.0 stands for no version")
	case !slices.Contains([]string{"v0", "v1"}, semver.Major(version)):
		return errors.New("from v2 on, module paths end with the major version")
	}
	return nil
}

// snapshot returns a revision with the tree as it is, changes that are not
// committed included. It changes no branch, index or file.
func (r *repo) snapshot() (string, error) {
	if files, err := git(r.dir, "ls-files", "--others", "--exclude-standard"); err != nil || files != "" {
		return "", errors.Join(err, fmt.Errorf("git does not know these files, so that no release would have them: add or ignore\n%s", strings.TrimSpace(files)))
	}
	rev, err := git(r.dir, "stash", "create")
	if rev == "" && err == nil {
		rev, err = git(r.dir, "rev-parse", "HEAD")
	}
	return strings.TrimSpace(rev), err
}

// last returns the version of the last release before this tree, or "".
func (r *repo) last() (string, error) {
	tags, err := git(r.dir, "tag", "--merged", "HEAD", "--list", "v[0-9]*")
	if err != nil {
		return "", err
	}
	last := ""
	for tag := range strings.FieldsSeq(tags) {
		if semver.IsValid(tag) && (last == "" || semver.Compare(tag, last) > 0) {
			last = tag
		}
	}
	return last, nil
}
