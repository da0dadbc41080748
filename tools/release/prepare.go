package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/semver"
)

// prepare sets the version in all go.mod files and in the changelog.
func (r *repo) prepare(version string) error {
	if err := valid(version); err != nil {
		return fmt.Errorf("%q: %w", version, err)
	}
	last, err := r.last()
	if err != nil {
		return err
	}
	if last != "" && semver.Compare(version, last) <= 0 {
		return fmt.Errorf("%s is not after %s, the last release", version, last)
	}
	if status, err := git(r.dir, "status", "--porcelain"); err != nil || status != "" {
		return errors.Join(err, errors.New("the tree has changes: commit them first\n"+status))
	}
	changelog := filepath.Join(r.dir, "CHANGELOG.md")
	data, err := os.ReadFile(changelog)
	if err != nil {
		return err
	}
	text, err := entitle(string(data), version, time.Now().UTC())
	if err != nil {
		return err
	}
	if err := os.WriteFile(changelog, []byte(text), 0o600); err != nil {
		return err
	}
	for _, sub := range r.folders() {
		f := r.files[sub]
		for _, req := range f.Require {
			if r.own(req.Mod.Path) {
				if err := f.AddRequire(req.Mod.Path, version); err != nil {
					return err
				}
			}
		}
		out, err := f.Format()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(r.dir, sub, "go.mod"), out, 0o600); err != nil {
			return err
		}
	}
	fmt.Printf("    %s is set in go.mod files and in CHANGELOG.md; to undo it: git checkout .\n", version)
	return nil
}

// entitle makes what is unreleased in a changelog the version's.
func entitle(changelog, version string, now time.Time) (string, error) {
	const heading = "## [Unreleased]\n"
	before, after, ok := strings.Cut(changelog, heading)
	if section, _, _ := strings.Cut(after, "\n## "); !ok || strings.TrimSpace(section) == "" {
		return "", errors.New("CHANGELOG.md has nothing under " + strings.TrimSpace(heading))
	}
	return fmt.Sprintf("%s%s\n## [%s] - %s\n%s", before, heading, strings.TrimPrefix(version, "v"), now.Format(time.DateOnly), after), nil
}

// commit commits what prepare has set, and prints what publishes it.
func (r *repo) commit(version string) error {
	if got, err := r.version(); err != nil || got != version {
		return errors.Join(err, fmt.Errorf("go.mod files require %s, not %s: run prepare", got, version))
	}
	if _, err := git(r.dir, "commit", "-q", "-a", "-m", "Release "+version); err != nil {
		return err
	}
	fmt.Printf("\n%s is committed, and nothing is published; to undo it: git reset --keep HEAD~1\nTo publish it, push the commit, wait for its CI, and then, the root first since the others require it:\n\n", version)
	for _, m := range r.released {
		tag := m.tag(version)
		fmt.Printf("  git tag %s && git push origin %s\n", tag, tag)
	}
	fmt.Println("\nA published tag never moves: the module proxy keeps what it has seen.")
	return nil
}
