//go:build unix

package lifecycle_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/file"
	"github.com/minicaptain/multi_connection_pool/discovery/lifecycle"
)

// fileVariable makes the test program the server, whose registry is that file.
const fileVariable = "LIFECYCLE_TEST_FILE"

func TestMain(m *testing.M) {
	if path := os.Getenv(fileVariable); path != "" {
		if err := serve(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// fileRegistrar registers one server in a file.
type fileRegistrar string

func (f fileRegistrar) Register(ctx context.Context, e discovery.Endpoint, registered func()) error {
	write := func(set ...discovery.Endpoint) error {
		data, err := json.Marshal(append([]discovery.Endpoint{}, set...))
		return errors.Join(err, os.WriteFile(string(f)+".next", data, 0o600), os.Rename(string(f)+".next", string(f)))
	}
	if err := write(e); err != nil {
		return err
	}
	registered()
	<-ctx.Done()
	return errors.Join(ctx.Err(), write())
}

// serve is a program as users write it.
func serve(path string) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	service, err := lifecycle.New(fileRegistrar(path), discovery.Endpoint{Addr: ln.Addr().String()}, lifecycle.Linger(5*time.Second))
	if err != nil {
		return err
	}
	stopping := make(chan struct{})
	mux := http.NewServeMux()
	mux.Handle("/readyz", service.ReadyHandler())
	mux.Handle("/livez", service.LiveHandler())
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello\n") })
	mux.HandleFunc("/slow", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Println("slow") // the parent waits for it
		<-stopping          // a call that lasts into the drain
		time.Sleep(100 * time.Millisecond)
		_, _ = io.WriteString(w, "at last\n")
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	server.RegisterOnShutdown(func() { close(stopping) })
	go func() { _ = server.Serve(ln) }() // until Shutdown

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return service.Run(ctx, server.Shutdown)
}

func TestProgramThatGetsSIGTERMLosesNoCall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "servers")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fileVariable+"="+path)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()

	var addr atomic.Value // of the server, empty when it has left
	ctx, cancel := context.WithCancel(t.Context())
	followed := make(chan struct{})
	defer func() { cancel(); <-followed }()
	go func() {
		defer close(followed)
		discovery.Follow(ctx, file.Watcher(path, file.Interval(100*time.Millisecond)), discovery.Follower{Changed: func(c discovery.Change) {
			if len(c.Set) > 0 {
				addr.Store(c.Set[0].Addr)
			} else {
				addr.Store("")
			}
		}})
	}()
	await := func(what string, ok func() bool) {
		t.Helper()
		for begun := time.Now(); !ok(); time.Sleep(5 * time.Millisecond) {
			if time.Since(begun) > 30*time.Second {
				t.Fatalf("waited for %s", what)
			}
		}
	}
	await("the registration", func() bool { a, _ := addr.Load().(string); return a != "" })
	base := "http://" + addr.Load().(string)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	get := func(path, want string, code int) error {
		res, err := client.Get(base + path)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err == nil && (res.StatusCode != code || strings.TrimSpace(string(body)) != want) {
			err = fmt.Errorf("%s: %s, %q, want %q", path, res.Status, body, want)
		}
		return err
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	check(get("/readyz", "ok", 200))
	slow := make(chan error, 1)
	go func() { slow <- get("/slow", "at last", 200) }()
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "slow\n" {
		t.Fatalf("the server printed %q, error %v", line, err)
	}

	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await("its end in the registry", func() bool { return addr.Load() == "" })
	check(get("/", "hello", 200)) // of a client that has not noticed yet
	check(get("/readyz", "shutting down", 503))
	check(get("/livez", "ok", 200))
	check(<-slow)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the program ended with %v", err)
	}
	if err := get("/", "", 0); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after its end: %v", err)
	}
}
