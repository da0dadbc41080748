// Release prepares a release of all modules, and proves that they can be used
// from outside of this repository.
//
//	go tool release check           # what the tree would release, as its users get it
//	go tool release prepare v0.2.0  # set the versions in go.mod files and the changelog
//	go tool release commit v0.2.0   # commit them, and print what publishes the release
//
// All modules have one version. It is in every requirement of one module of this
// repository on another; the replace lines beside them count in this repository
// alone. Nothing is tagged, pushed or uploaded.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	top, err := git("", "rev-parse", "--show-toplevel")
	if err != nil {
		return err
	}
	repo, err := open(strings.TrimSpace(top))
	if err != nil {
		return err
	}
	switch {
	case len(args) == 1 && args[0] == "check":
		return repo.check()
	case len(args) == 2 && args[0] == "prepare":
		return repo.prepare(args[1])
	case len(args) == 2 && args[0] == "commit":
		return repo.commit(args[1])
	default:
		return errors.New("usage: release check | prepare VERSION | commit VERSION")
	}
}

// check builds what the tree would release into a module proxy, consumers of it,
// and the changes of the API since the last release.
func (r *repo) check() error {
	version, err := r.version()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "release")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tree, err := r.snapshot()
	if err != nil {
		return err
	}
	proxy, err := newProxy(r.dir, filepath.Join(dir, "proxy"))
	if err != nil {
		return err
	}
	defer proxy.Close()
	for _, m := range r.released {
		if err := proxy.add(m, version, tree); err != nil {
			return err
		}
	}
	c := consumers{dir: dir, proxy: proxy, version: version, modules: r.released}
	if err := c.build(); err != nil {
		return err
	}
	return r.compare(version, tree, dir)
}

// output runs a command in dir, with variables beside the environment, and returns
// what it prints. The error has what it complains of.
func output(dir string, env []string, name string, args ...string) (string, error) {
	var stdout, stderr strings.Builder
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	cmd.Env = append(os.Environ(), env...)
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// git runs git in dir.
func git(dir string, args ...string) (string, error) { return output(dir, nil, "git", args...) }
