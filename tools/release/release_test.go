package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree is a repository of two modules, the second of which requires the first.
// Like the real one it builds in place whatever version it requires.
func tree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"LICENSE":      "Free.\n",
		"CHANGELOG.md": "# Changelog\n\n## [Unreleased]\n\nThe first.\n",
		"go.mod":       "module example.com/pool\n\ngo 1.25\n",
		"pool.go":      "package pool\n\nfunc New() {}\n",
		"zk/go.mod":    "module example.com/pool/zk\n\ngo 1.25\n\nrequire example.com/pool v0.1.0\n\nreplace example.com/pool => ../\n",
		"zk/zk.go":     "package zk\n\nimport \"example.com/pool\"\n\nfunc Watch() { pool.New() }\n",
	})
	gitIn(t, dir, "init", "-q", "-b", "main")
	commit(t, dir)
	return dir
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func gitIn(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := git(dir, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func commit(t *testing.T, dir string) {
	t.Helper()
	gitIn(t, dir, "add", "-A")
	gitIn(t, dir, "commit", "-q", "--allow-empty", "-m", "A change")
}

func openRepo(t *testing.T, dir string) *repo {
	t.Helper()
	r, err := open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// check fails t unless the check of dir's tree reports what is wanted; "" is no
// error.
func check(t *testing.T, dir, want string) {
	t.Helper()
	err := openRepo(t, dir).check()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("error %v, want %q", err, want)
	}
}

func TestMain(m *testing.M) {
	for name, value := range map[string]string{
		"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.com", "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.com",
		"GIT_CONFIG_GLOBAL": os.DevNull,
	} {
		os.Setenv(name, value)
	}
	os.Exit(m.Run())
}

func TestModulesThatRequireReleasesOfEachOtherCanBeUsedFromOutside(t *testing.T) {
	check(t, tree(t), "")
}

func TestRequirementOfNoReleaseIsNamed(t *testing.T) {
	for _, version := range []string{"v0.0.0", "v0.0.0-00010101000000-000000000000"} {
		dir := tree(t)
		write(t, dir, map[string]string{"zk/go.mod": "module example.com/pool/zk\n\ngo 1.25\n\nrequire example.com/pool " + version + "\n\nreplace example.com/pool => ../\n"})
		check(t, dir, "zk/go.mod requires example.com/pool "+version+", which is no release")
	}
}

func TestRequirementsOfTwoVersionsAreNamed(t *testing.T) {
	dir := tree(t)
	write(t, dir, map[string]string{
		"etcd/go.mod":  "module example.com/pool/etcd\n\ngo 1.25\n\nrequire example.com/pool v0.2.0\n",
		"etcd/etcd.go": "package etcd\n",
	})
	commit(t, dir)
	check(t, dir, "zk/go.mod requires example.com/pool v0.1.0, but etcd/go.mod requires example.com/pool v0.2.0")
}

// What only a replace line makes work is what go get from outside finds missing.
func TestWhatWorksOnlyInTheCheckoutIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"a package of a module that is not released": {map[string]string{
			"bench/go.mod": "module example.com/pool/bench\n\ngo 1.25\n",
			"bench/b.go":   "package bench\n",
			"zk/go.mod": "module example.com/pool/zk\n\ngo 1.25\n\nrequire (\n\texample.com/pool v0.1.0\n\texample.com/pool/bench v0.1.0\n)\n\n" +
				"replace (\n\texample.com/pool => ../\n\texample.com/pool/bench => ../bench\n)\n",
			"zk/zk.go": "package zk\n\nimport _ \"example.com/pool/bench\"\n",
		}, "example.com/pool/bench@v0.1.0"},
		"a requirement of the root": {map[string]string{
			"go.mod":       "module example.com/pool\n\ngo 1.25\n\nrequire example.com/pool/etcd v0.1.0\n\nreplace example.com/pool/etcd => ./etcd\n",
			"etcd/go.mod":  "module example.com/pool/etcd\n\ngo 1.25\n",
			"etcd/etcd.go": "package etcd\n",
		}, "a program that requires the root module alone depends on"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tree(t)
			write(t, dir, c.files)
			commit(t, dir)
			check(t, dir, c.want)
		})
	}
}

func TestFileThatGitDoesNotKnowIsNamed(t *testing.T) {
	dir := tree(t)
	write(t, dir, map[string]string{"new.go": "package pool\n"})
	check(t, dir, "new.go")
}

func TestChangesThatAreNotCommittedAreChecked(t *testing.T) {
	dir := tree(t)
	write(t, dir, map[string]string{"zk/zk.go": "package zk\n\nimport \"example.com/pool\"\n\nfunc Watch() { pool.Gone() }\n"})
	check(t, dir, "undefined: pool.Gone")
	if status := gitIn(t, dir, "status", "--porcelain"); status != " M zk/zk.go\n" {
		t.Errorf("the check leaves %q", status)
	}
}

func TestReleaseIsPreparedCommittedAndNotPublished(t *testing.T) {
	dir := tree(t)
	if err := openRepo(t, dir).prepare("v0.2.0"); err != nil {
		t.Fatal(err)
	}
	check(t, dir, "")
	if err := openRepo(t, dir).commit("v0.2.0"); err != nil {
		t.Fatal(err)
	}
	if got := gitIn(t, dir, "show", "HEAD:zk/go.mod"); !strings.Contains(got, "require example.com/pool v0.2.0") || !strings.Contains(got, "replace example.com/pool => ../") {
		t.Errorf("zk/go.mod is\n%s", got)
	}
	if got := gitIn(t, dir, "show", "HEAD:CHANGELOG.md"); !strings.Contains(got, "## [Unreleased]\n\n## [0.2.0] - 2") {
		t.Errorf("CHANGELOG.md is\n%s", got)
	}
	if tags := gitIn(t, dir, "tag"); tags != "" {
		t.Errorf("there are tags: %s", tags)
	}
	// The next has nothing to say.
	if err := openRepo(t, dir).prepare("v0.3.0"); err == nil || !strings.Contains(err.Error(), "CHANGELOG.md has nothing") {
		t.Errorf("an empty release: error %v", err)
	}
}

func TestVersionsThatCannotBeReleasedAreRefused(t *testing.T) {
	dir := tree(t)
	gitIn(t, dir, "tag", "v0.1.0")
	for _, version := range []string{"", "0.2.0", "v0.2", "v0.0.0", "v2.0.0", "v0.1.0", "v0.0.9", "v0.2.0-0.20260101000000-0123456789ab"} {
		if err := openRepo(t, dir).prepare(version); err == nil {
			t.Errorf("%q is accepted", version)
		}
	}
	write(t, dir, map[string]string{"pool.go": "package pool\n"})
	if err := openRepo(t, dir).prepare("v0.2.0"); err == nil || !strings.Contains(err.Error(), "pool.go") {
		t.Errorf("a tree with changes: error %v", err)
	}
}

func TestVersionPromisesWhatTheAPIKeeps(t *testing.T) {
	dir := tree(t)
	gitIn(t, dir, "tag", "v0.1.0")
	write(t, dir, map[string]string{"pool.go": "package pool\n\nfunc New() {}\n\nfunc Added() {}\n"})
	check(t, dir, "") // between two releases anything may change
	for _, c := range []struct{ version, want string }{
		{"v0.1.1", "the API is incompatible in example.com/pool/zk"}, {"v0.2.0", ""},
	} {
		write(t, dir, map[string]string{
			"pool.go":      "package pool\n\nfunc New() {}\n",
			"CHANGELOG.md": "## [Unreleased]\n\nSomething.\n",
			"zk/zk.go":     "package zk\n\nimport \"example.com/pool\"\n\nfunc Watch(string) { pool.New() }\n",
		})
		commit(t, dir)
		if err := openRepo(t, dir).prepare(c.version); err != nil {
			t.Fatal(err)
		}
		check(t, dir, c.want)
		gitIn(t, dir, "checkout", "-q", ".")
	}
}
