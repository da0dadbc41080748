package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/minicaptain/multi_connection_pool/config"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/core/pooltest"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/discovery/zk"
)

// configured has the lines of the README.
func configured(dialer core.Dialer[*pooltest.Conn]) (*core.Pool[*pooltest.Conn], error) {
	var mux discovery.Mux // the plugins that this program is built with
	mux.Handle("static", static.Opener)
	mux.Handle("zk", zk.Opener)

	// {"registry": "zk://10.0.0.1,10.0.0.2/services/echo", "max_active": 64}, and ECHO_REGISTRY=static://... has the last word
	pool, err := config.NewPool(config.Source{File: "echo.json", Prefix: "ECHO_"}, &mux, dialer)
	return pool, err
}

func TestEnvironmentHasTheLastWordAboutTheFileOfTheREADME(t *testing.T) {
	text := regexp.MustCompile(`// (\{.*\}), and`).FindStringSubmatch(readme(t))
	if text == nil {
		t.Fatal("the README has no text of a file")
	}
	t.Chdir(t.TempDir())
	if err := os.WriteFile("echo.json", []byte(text[1]), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ECHO_REGISTRY", "static://10.0.0.1:9090,10.0.0.2:9090")
	pool, err := configured(pooltest.NewFleet())
	if err != nil {
		t.Fatal(err)
	}
	if err := pool.WaitReady(t.Context()); err != nil || pool.Len() != 2 {
		t.Errorf("%d servers, error %v", pool.Len(), err)
	}
	if err := pool.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// registered has the lines of the README. Tests of the plugins register in real
// registries.
func registered(ctx context.Context, mux *discovery.Mux, url string) error {
	registrar, err := mux.OpenRegistrar(url)
	if err != nil {
		return err
	}
	registration, err := discovery.Register(registrar, core.Endpoint{Addr: "10.0.0.7:9090"})
	if err != nil {
		return err
	}
	defer registration.Close(ctx)
	return nil
}

func TestRegistryThatCannotRegisterIsAnError(t *testing.T) {
	var mux discovery.Mux
	mux.Handle("static", static.Opener)
	if err := registered(t.Context(), &mux, "static://10.0.0.1:9090"); err == nil {
		t.Error("a list takes registrations")
	}
}

// TestCheckoutCanBeUsedAsTheREADMESays builds the program of the README in a folder
// beside the checkout, by the README's command.
func TestCheckoutCanBeUsedAsTheREADMESays(t *testing.T) {
	command := regexp.MustCompile(`(?m)^go (work init .*)$`).FindStringSubmatch(readme(t))
	if command == nil {
		t.Skip("the README has no such command any more: go get does it")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(root, filepath.Join(dir, "multi_connection_pool")); err != nil {
		t.Skipf("no links here: %v", err)
	}
	app := filepath.Join(dir, "app")
	if err := os.Mkdir(app, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(app, "main.go"), program, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"mod", "init", "example.com/app"}, strings.Fields(command[1]), {"build", "-o", os.DevNull, "."}} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = app
		cmd.Env = append(os.Environ(), "GOWORK=", "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
