//go:build unix

package main_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func ignoreTerminate() { signal.Ignore(syscall.SIGTERM) }

// hangInShutdown makes SIGTERM begin a shutdown that does not end.
func hangInShutdown() {
	begun := make(chan os.Signal, 1)
	signal.Notify(begun, syscall.SIGTERM)
	go func() { // for as long as the process lives
		<-begun
		fmt.Println("shutting down")
	}()
}

// supervised is a server that register runs.
type supervised struct {
	*program

	url, addr, dir string
}

// supervise runs a server under register, with short times, and waits until the server runs.
func supervise(t *testing.T, url string, files ...string) *supervised {
	t.Helper()
	s := &supervised{url: url, addr: freeAddr(t), dir: t.TempDir()}
	for _, f := range files {
		write(t, filepath.Join(s.dir, f), "")
	}
	s.program = begin(t, []string{serverMode + "=" + s.addr + " " + s.dir}, "register", "--interval", "100ms", "--failures", "2",
		"--linger", "300ms", "--grace", "1s", "--zone", "eu", "--attr", "version=3", url, s.addr, "--", os.Args[0])
	s.await(1, "up ")
	return s
}

func (s *supervised) touch(name string) {
	s.t.Helper()
	write(s.t, filepath.Join(s.dir, name), "")
}

func (s *supervised) remove(name string) {
	s.t.Helper()
	if err := os.Remove(filepath.Join(s.dir, name)); err != nil {
		s.t.Fatal(err)
	}
}

// listed reports whether the registry has the server.
func (s *supervised) listed() bool {
	s.t.Helper()
	r := run(s.t, "ls", s.url)
	if r.code != 0 && r.code != 3 {
		s.t.Fatalf("exit code %d: %s", r.code, r.stderr)
	}
	return strings.Contains(r.stdout, s.addr)
}

func TestServerIsRegisteredExactlyWhileItAnswers(t *testing.T) {
	for name, open := range writable(t) {
		t.Run(name, func(t *testing.T) {
			s := supervise(t, open(t))
			s.await(1, "does not answer")
			if s.listed() {
				t.Error("a server that does not answer yet is registered")
			}
			s.touch("listen")
			s.await(1, " registered")
			if !s.listed() {
				t.Error("a server that answers is not registered")
			}
			s.remove("listen")
			s.await(1, " deregistered")
			if s.listed() {
				t.Error("a server that has stopped to answer is registered")
			}
			s.touch("listen")
			s.await(2, " registered")
			s.signal(syscall.SIGTERM)
			if code := s.wait(); code != 128+int(syscall.SIGTERM) {
				t.Errorf("exit code %d, want that of a command which SIGTERM has ended", code)
			}
			if s.listed() {
				t.Error("a server that has been stopped is registered")
			}
		})
	}
}

// order fails the test unless the texts were printed in this order.
func (s *supervised) order(texts ...string) {
	s.t.Helper()
	rest := s.printed()
	for _, text := range texts {
		_, after, ok := strings.Cut(rest, text)
		if !ok {
			s.t.Fatalf("%q was not printed, or not in the order of %q", text, texts)
		}
		rest = after
	}
}

func TestServerLeavesTheRegistryBeforeItIsStopped(t *testing.T) {
	s := supervise(t, writable(t)["etcd"](t), "listen")
	s.await(1, " registered")
	begun := time.Now()
	s.signal(syscall.SIGTERM)
	s.wait()
	s.order(" registered", " deregistered", " lingering", " stopping", " ended")
	if took := time.Since(begun); took < 300*time.Millisecond {
		t.Errorf("it was stopped after %v, before clients had the time that linger says", took)
	}
}

func TestCommandThatCrashesIsOutAtOnceAndItsStatusIsTheExitCode(t *testing.T) {
	s := supervise(t, writable(t)["etcd"](t), "listen")
	s.await(1, " registered")
	s.touch("crash")
	if code := s.wait(); code != 7 {
		t.Errorf("exit code %d, want 7", code)
	}
	if s.listed() {
		t.Error("a server that has crashed is registered")
	}
	if strings.Contains(s.printed(), "lingering") {
		t.Error("it lingered for a server that had ended")
	}
}

func TestCommandThatIgnoresSIGTERMIsKilledWithItsGroup(t *testing.T) {
	s := supervise(t, writable(t)["etcd"](t), "listen", "stubborn")
	s.await(1, " registered")
	s.signal(syscall.SIGTERM)
	if code := s.wait(); code != 128+int(syscall.SIGKILL) {
		t.Errorf("exit code %d", code)
	}
	s.order(" deregistered", " stopping", " killing", " ended")
	if s.listed() {
		t.Error("it is registered")
	}
}

func TestCommandThatHangsInItsShutdownIsKilledAndOutOfTheRegistryBefore(t *testing.T) {
	s := supervise(t, writable(t)["etcd"](t), "listen", "hang")
	s.await(1, " registered")
	s.signal(syscall.SIGTERM)
	s.await(1, "shutting down")
	if s.listed() {
		t.Error("it is registered while it stops")
	}
	if code := s.wait(); code != 128+int(syscall.SIGKILL) {
		t.Errorf("exit code %d", code)
	}
	s.order(" deregistered", " stopping", "shutting down", " killing", " ended")
}

func TestServerIsNotRegisteredBeforeItsHealthCheckPasses(t *testing.T) {
	var ready atomic.Bool
	asked := make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" || !ready.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		select {
		case asked <- struct{}{}:
		default:
		}
	}))
	defer server.Close()
	url, addr := writable(t)["etcd"](t), strings.TrimPrefix(server.URL, "http://")
	p := begin(t, nil, "register", "--interval", "100ms", "--http", "/healthz", url, addr)
	p.await(1, "503 Service Unavailable")
	for range 5 { // checks that end after the first
		<-asked
	}
	if r := run(t, "ls", url); r.code != 3 {
		t.Errorf("a server that accepts connections and is not healthy is registered: %s", r.stdout)
	}
	ready.Store(true)
	p.await(1, " registered")
	contains(t, run(t, "ls", url).stdout, addr)
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestSecondSignalKillsAtOnce(t *testing.T) {
	addr, dir := freeAddr(t), t.TempDir()
	write(t, filepath.Join(dir, "listen"), "")
	write(t, filepath.Join(dir, "stubborn"), "")
	p := begin(t, []string{serverMode + "=" + addr + " " + dir}, "register", "--interval", "100ms", "--linger", "1h", "--grace", "1h",
		writable(t)["etcd"](t), addr, "--", os.Args[0])
	p.await(1, " registered")
	p.signal(syscall.SIGTERM)
	p.await(1, " lingering")
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 128+int(syscall.SIGKILL) {
		t.Errorf("exit code %d", code)
	}
}

func TestServerOfAnotherProgramIsNotRegisteredInTheCommandsPlace(t *testing.T) {
	r := run(t, "register", "etcd://127.0.0.1:1/x/", listen(t), "--", "sleep", "60")
	if r.code != 1 {
		t.Errorf("exit code %d", r.code)
	}
	contains(t, r.stderr, "answers at")
}

func TestMistakesOfRegisterAreThoseOfTheCommandLine(t *testing.T) {
	for want, args := range map[string][]string{
		"can be watched only":   {"static://a:1", "127.0.0.1:1"},
		"clients cannot dial":   {"etcd://127.0.0.1:1/x/", "0.0.0.0:1"},
		"cannot hold":           {"zk://127.0.0.1:1/x", "127.0.0.1:1", "--zone", "eu"},
		"not a path":            {"etcd://127.0.0.1:1/x/", "127.0.0.1:1", "--http", "healthz"},
		"behind --, a command":  {"etcd://127.0.0.1:1/x/", "127.0.0.1:1", "sleep"},
		"neither text nor json": {"etcd://127.0.0.1:1/x/", "127.0.0.1:1", "-o", "yaml"},
	} {
		r := run(t, append([]string{"register"}, args...)...)
		if r.code != 2 {
			t.Errorf("%q: exit code %d", args, r.code)
		}
		contains(t, r.stderr, want)
	}
}
