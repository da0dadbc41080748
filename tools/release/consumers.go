package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
)

// consumers builds programs outside of this repository that require its modules.
type consumers struct {
	dir     string // temporary
	proxy   *proxy
	version string
	modules []mod
}

// build builds a consumer of all modules, and then of each alone and of each two,
// a few at a time: commands that fill one module cache at the same time have been
// seen to miss a module that is there.
func (c *consumers) build() error {
	if err := c.consume(filepath.Join(c.dir, "consumer"), c.modules); err != nil {
		return err
	}
	var sets [][]mod
	for i, a := range c.modules {
		sets = append(sets, []mod{a})
		for _, b := range c.modules[i+1:] {
			sets = append(sets, []mod{a, b})
		}
	}
	errs := make([]error, len(sets))
	slots := make(chan struct{}, runtime.NumCPU())
	var wg sync.WaitGroup
	for i, set := range sets {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			errs[i] = c.consume(filepath.Join(c.dir, fmt.Sprint("consumer", i)), set)
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	fmt.Printf("    %s: %d modules, %d consumers: all, each alone, each two\n", c.version, len(c.modules), len(sets)+1)
	return nil
}

// consume makes a module in dir that imports the packages of others and builds their
// commands, as a user does: go get, go build.
func (c *consumers) consume(dir string, set []mod) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module consumer\n"), 0o600); err != nil {
		return err
	}
	get := []string{"get"}
	for _, m := range set {
		get = append(get, m.path+"@"+c.version)
	}
	if _, err := c.run(dir, get...); err != nil {
		return err
	}
	if len(set) == 1 && set[0].dir == "" {
		all, err := c.run(dir, "list", "-m", "all")
		if want := fmt.Sprintf("consumer\n%s %s\n", set[0].path, c.version); all != want {
			return errors.Join(err, fmt.Errorf("a program that requires the root module alone depends on\n%s", all))
		}
	}
	var program strings.Builder
	program.WriteString("package consumer\n\nimport (\n")
	for _, m := range set {
		packages, err := c.run(dir, "list", "-f", `{{if ne .Name "main"}}{{.ImportPath}}{{end}}`, m.path+"/...")
		if err != nil {
			return err
		}
		for p := range strings.FieldsSeq(packages) {
			if !internal(p) {
				fmt.Fprintf(&program, "\t_ %q\n", p)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "consumer.go"), []byte(program.String()+")\n"), 0o600); err != nil {
		return err
	}
	build := []string{"build", "."}
	if len(set) == 1 { // once for each, since they are linked
		commands, err := c.run(dir, "list", "-f", `{{if eq .Name "main"}}{{.ImportPath}}{{end}}`, set[0].path+"/...")
		if err != nil {
			return err
		}
		for p := range strings.FieldsSeq(commands) {
			if !internal(p) {
				build = append(build, p)
			}
		}
	}
	_, err := c.run(dir, build...)
	return err
}

// run runs the go command with the proxy and with a module cache of its own, so
// that no cache keeps a version that was never released. -trimpath lets builds
// share what was compiled from another folder.
func (c *consumers) run(dir string, args ...string) (string, error) {
	// What is proved is ours; hashes of other modules are those of our go.sum files,
	// which the builds of this repository check.
	return output(dir, []string{
		"GOPROXY=" + c.proxy.URL, "GOSUMDB=off", "GOPRIVATE=", "GONOPROXY=none",
		"GOMODCACHE=" + filepath.Join(c.dir, "modcache"), "GOFLAGS=-trimpath -modcacherw", "GOWORK=off", "GOTOOLCHAIN=local",
	}, "go", args...)
}
