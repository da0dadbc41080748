package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// proxy is a module proxy: a folder in the layout of GOPROXY=file://, with the
// modules of this repository alone, before the downloads that this machine has
// and the normal proxy.
//
// It is a server on the loopback interface, and not the list
// GOPROXY=file://...,https://..., since the go command asks the whole list also
// for modules that there are not, such as .../multi_connection_pool/core, which
// may be where package core is. What is ours or may be is answered here.
type proxy struct {
	*httptest.Server
	dir   string
	clone string // of the repository
	root  string // path of the root module
}

// newProxy starts a proxy without modules. Close stops it.
func newProxy(repository, dir string) (*proxy, error) {
	// A clone by reference costs nothing; package zip does not read worktrees.
	p := &proxy{dir: dir, clone: dir + ".git"}
	if _, err := git("", "clone", "-q", "--shared", "--no-checkout", repository, p.clone); err != nil {
		return nil, err
	}
	env, err := output("", nil, "go", "env", "GOMODCACHE", "GOPROXY")
	if err != nil {
		return nil, err
	}
	modcache, upstreams, _ := strings.Cut(strings.TrimSpace(env), "\n")
	cache := filepath.Join(modcache, "cache", "download")
	upstream := ""
	for _, u := range strings.FieldsFunc(upstreams, func(r rune) bool { return r == ',' || r == '|' }) {
		if strings.HasPrefix(u, "http") && upstream == "" {
			upstream = strings.TrimSuffix(u, "/")
		}
	}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/@")
		_, err := os.Stat(filepath.Join(cache, filepath.FromSlash(r.URL.Path)))
		switch {
		case strings.HasPrefix(p.root+"/", name+"/") || strings.HasPrefix(name, p.root+"/"):
			http.FileServer(http.Dir(dir)).ServeHTTP(w, r)
		case err == nil:
			http.FileServer(http.Dir(cache)).ServeHTTP(w, r)
		case upstream != "":
			http.Redirect(w, r, upstream+r.URL.Path, http.StatusFound)
		default:
			http.NotFound(w, r)
		}
	}))
	return p, nil
}

// add adds a module as a revision of the repository has it, in the form that the
// go command gives it.
func (p *proxy) add(m mod, version, rev string) (err error) {
	if m.dir == "" {
		p.root = m.path
	}
	escaped, err := module.EscapePath(m.path)
	if err != nil {
		return err
	}
	base := filepath.Join(p.dir, filepath.FromSlash(escaped), "@v", version)
	if err := os.MkdirAll(filepath.Dir(base), 0o700); err != nil {
		return err
	}
	f, err := os.Create(base + ".zip")
	if err != nil {
		return err
	}
	err = zip.CreateFromVCS(f, module.Version{Path: m.path, Version: version}, p.clone, rev, m.dir)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	gomod, err := git(p.clone, "show", rev+":"+strings.TrimPrefix(m.dir+"/go.mod", "/"))
	if err != nil {
		return err
	}
	info := fmt.Sprintf(`{"Version": %q, "Time": %q}`, version, time.Now().UTC().Format(time.RFC3339))
	return errors.Join(
		os.WriteFile(base+".mod", []byte(gomod), 0o600),
		os.WriteFile(base+".info", []byte(info), 0o600),
		os.WriteFile(filepath.Join(filepath.Dir(base), "list"), []byte(version+"\n"), 0o600),
	)
}
