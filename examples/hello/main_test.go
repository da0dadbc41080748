package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/examples/hello/internal/registry"
	"github.com/minicaptain/multi_connection_pool/examples/internal/process"
)

func TestMain(m *testing.M) { process.Main(m, main) }

func TestFrontAnswersEveryRequestWhenAServerIsKilled(t *testing.T) {
	greet(t, "")
}

func TestServersRegisterAndDeregister(t *testing.T) {
	for _, c := range []struct{ scheme, variable, rest string }{
		{"zk", "ZOOKEEPER_SERVERS", "session_timeout=2s"},
		{"etcd", "ETCD_ENDPOINTS", "ttl=2s"},
		{"consul", "CONSUL_AGENT_ADDR", "ttl=2s"},
	} {
		t.Run(c.scheme, func(t *testing.T) {
			if !slices.Contains(registry.Mux().Schemes(), c.scheme) {
				t.Skip("not built in; use -tags registries")
			}
			servers := os.Getenv(c.variable)
			if servers == "" {
				missing := c.variable + " is not set: host:port,... of a registry to test with"
				if os.Getenv("REQUIRE_REGISTRIES") == "1" {
					t.Fatal(missing)
				}
				t.Skip(missing)
			}
			url := fmt.Sprintf("%s://%s/multipool-hello-test-%d?%s", c.scheme, servers, os.Getpid(), c.rest)
			greet(t, url)
			empty(t, url)
		})
	}
}

// empty waits until the registry has no server: two deregister, and the entry of the
// one that was killed expires.
func empty(t *testing.T, url string) {
	t.Helper()
	watcher, err := registry.Mux().Open(url)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	empty := errors.New("the registry is empty")
	ctx, end := context.WithCancelCause(ctx)
	err = watcher.Watch(ctx, func(eps []core.Endpoint) {
		t.Logf("%d servers are in the registry", len(eps))
		if len(eps) == 0 {
			end(empty)
		}
	})
	if !errors.Is(context.Cause(ctx), empty) {
		t.Errorf("the registry still has a server that has ended; Watch returned %v", err)
	}
}

// greet runs the program and checks what it prints.
func greet(t *testing.T, url string) {
	t.Helper()
	var out strings.Builder
	err := run(t.Context(), url, 3, &out)
	t.Logf("output:\n%s", out.String())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(find(out.String(), `GET /(\w+): 200 OK, OK`)); n != 12 {
		t.Errorf("%d requests were answered", n)
	}
	for _, name := range find(out.String(), `GET /(\w+):`) {
		if !strings.Contains(out.String(), ": hello world by "+name+"\n") {
			t.Errorf("no server greeted %s", name)
		}
	}
	killed := find(out.String(), `(server \d) was killed`)
	if len(killed) != 1 {
		t.Fatalf("killed %q, want one server", killed)
	}
	before, after, _ := strings.Cut(out.String(), " was killed")
	if !strings.Contains(before, killed[0]+": hello world") || strings.Contains(after, killed[0]+": hello world") {
		t.Errorf("%s did not greet before it was killed, or greeted afterwards", killed[0])
	}
	for _, addr := range find(out.String(), `is ready at (\S+)`) {
		if nc, err := net.Dial("tcp", addr); err == nil {
			t.Errorf("%s still listens", addr)
			_ = nc.Close()
		}
	}
}

// find returns the first group of each match.
func find(s, pattern string) (all []string) {
	for _, m := range regexp.MustCompile(`(?m)^.*`+pattern).FindAllStringSubmatch(s, -1) {
		all = append(all, m[1])
	}
	return all
}

func TestChildrenEndWithTheirParent(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir()) // a killed program cannot clean up
	cmd := process.Command(t)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var addrs []string
	for lines := bufio.NewScanner(out); len(addrs) < 4 && lines.Scan(); {
		addrs = append(addrs, find(lines.Text(), `is ready at (\S+)`)...)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if len(addrs) != 4 {
		t.Fatalf("started %q, want 4 processes", addrs)
	}
	for _, addr := range addrs {
		begun := time.Now()
		for {
			nc, err := net.Dial("tcp", addr)
			if err != nil {
				break
			}
			_ = nc.Close()
			if time.Since(begun) > 10*time.Second {
				t.Fatalf("%s still listens", addr)
			}
			<-time.After(10 * time.Millisecond)
		}
	}
}

func TestExitStatusSaysHowItWent(t *testing.T) {
	for name, c := range map[string]struct {
		args   []string
		status int
		last   string
	}{
		"a flag that is none":       {[]string{"-nonsense"}, 2, ""},
		"too few servers":           {[]string{"-servers", "1"}, 1, "-servers 1"},
		"a scheme that is none":     {[]string{"-registry", "nonsense://x"}, 1, "nonsense"},
		"words that mean nothing":   {[]string{"nonsense"}, 2, "nonsense"},
		"a parameter that is wrong": {[]string{"-registry", "zk://127.0.0.1:1/x?session_timeoout=1s"}, 1, "session_timeoout"},
	} {
		if status, out, last := process.Self(t, nil, c.args...); status != c.status || out != "" || !strings.Contains(last, c.last) {
			t.Errorf("%s: exit status %d, output %q, last line %q; want %d and %q", name, status, out, last, c.status, c.last)
		}
	}
}

// TestInterruptEndsEachProcess does so when the first of them is ready.
func TestInterruptEndsEachProcess(t *testing.T) {
	cmd := process.Command(t)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var addrs []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if ready := find(lines.Text(), `is ready at (\S+)`); len(ready) > 0 {
			addrs = append(addrs, ready...)
			_ = cmd.Process.Signal(os.Interrupt)
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(stderr.String(), "canceled") {
		t.Errorf("ended with %v, said %q", err, stderr.String())
	}
	if len(addrs) == 0 {
		t.Error("no server became ready")
	}
	for _, addr := range addrs {
		if nc, err := net.Dial("tcp", addr); err == nil {
			t.Errorf("%s still listens", addr)
			_ = nc.Close()
		}
	}
}

func TestTwoRunsAtOnceDoNotMeet(t *testing.T) {
	var runs sync.WaitGroup
	for range 2 {
		runs.Go(func() {
			if status, out, last := process.Self(t, nil, "-servers", "2"); status != 0 || strings.Count(out, ": 200 OK") != 12 {
				t.Errorf("exit status %d, last line %q, output:\n%s", status, last, out)
			}
		})
	}
	runs.Wait()
}
