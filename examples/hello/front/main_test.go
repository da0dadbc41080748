package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/examples/internal/process"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool"
)

func TestFrontAnswersWhileAnyServerRuns(t *testing.T) {
	program := process.Build(t, "github.com/minicaptain/multi_connection_pool/examples/hello/server")
	var servers [2]*process.Server
	for i := range servers {
		servers[i] = process.Start(t, program, func(port string) []string {
			return []string{"-addr", "127.0.0.1:" + port, "-registry", ""}
		})
	}
	pool, err := core.New(static.Watcher(servers[0].Addr, servers[1].Addr), thriftpool.Dial(thriftpool.Config{}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := pool.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	front := httptest.NewServer(handler(thriftpool.Client(pool, thriftpool.Idempotent("helloWorld"))))
	defer front.Close()

	for range 20 {
		expect(t, front.URL+"/ada", http.StatusOK)
	}
	servers[0].Kill()
	for range 20 {
		expect(t, front.URL+"/ada", http.StatusOK)
	}
	servers[1].Kill()
	expect(t, front.URL+"/ada", http.StatusServiceUnavailable)
	servers[0].Start()
	if err := pool.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect(t, front.URL+"/ada", http.StatusOK)
	expect(t, front.URL+"/", http.StatusNotFound)
}

func TestFrontFindsServersInAFileAndInDNS(t *testing.T) {
	program := process.Build(t, "github.com/minicaptain/multi_connection_pool/examples/hello/server")
	server := process.Start(t, program, func(port string) []string {
		return []string{"-addr", "127.0.0.1:" + port, "-registry", ""}
	})
	_, port, _ := net.SplitHostPort(server.Addr)
	dir := t.TempDir()
	write(t, dir+"/servers", server.Addr+"\n")
	greetBy(t, "file://"+dir+"/servers")
	write(t, dir+"/hello.zone", "$TTL 1\n@ IN SOA ns root 1 1 1 1 1\n@ IN NS ns\nns IN A 127.0.0.1\nhello IN A 127.0.0.1\n_hello._tcp IN SRV 0 1 "+port+" hello\n")
	write(t, dir+"/named.conf", `options { directory "`+dir+`"; listen-on { 127.0.0.1; }; listen-on-v6 { none; }; pid-file none; session-keyfile none; };
		controls { }; zone "test" { type primary; file "hello.zone"; };`)
	named := process.Start(t, "named", func(port string) []string { return []string{"-f", "-p", port, "-c", dir + "/named.conf"} })
	greetBy(t, "dns://"+named.Addr+"/hello.test:"+port)
	greetBy(t, "dns://"+named.Addr+"/_hello._tcp.test")
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// greetBy runs the front on the registry and expects a greeting.
func greetBy(t *testing.T, url string) {
	t.Helper()
	watcher, err := watch(url, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, "127.0.0.1:0", watcher, in, io.Discard) }()
	ready, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "http://"+strings.TrimSpace(strings.TrimPrefix(ready, "ready "))+"/ada", http.StatusOK)
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("%s: %v", url, err)
	}
}

func expect(t *testing.T, url string, status int) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != status {
		t.Errorf("%s: %s, %q, %v", url, resp.Status, body, err)
	}
}

func TestFrontSaysThatThereIsNoRegistry(t *testing.T) {
	program := process.Build(t, "github.com/minicaptain/multi_connection_pool/examples/hello/front")
	for _, args := range [][]string{{"-registry", "zk://127.0.0.1:1/hello_server"}, {"-servers", "127.0.0.1:1"}} {
		cmd := exec.CommandContext(t.Context(), program, append(args, "-http", "127.0.0.1:0", "-child")...)
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said := false
		var end sync.Once
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			t.Log(lines.Text())
			if strings.Contains(lines.Text(), "no server") {
				said = true
				end.Do(func() { _ = stdin.Close() })
			}
		}
		if err := cmd.Wait(); err != nil || !said {
			t.Errorf("%q: ended with %v, said that there is no server: %t", args, err, said)
		}
	}
}
