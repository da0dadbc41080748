// Command hello starts the hello service of this library's first version: three Thrift
// servers and an HTTP front, which calls them through a pool, each a process of its
// own. It asks the front for some greetings, kills a server, and asks for more. Each
// must be answered.
//
//	go run ./examples/hello
//
// The front is given a list of the servers; with -registry they make themselves known
// there, and the front finds them:
//
//	go run ./examples/hello -registry zk://127.0.0.1:2181/hello_server
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/minicaptain/multi_connection_pool/examples/hello/internal/program"
)

func main() {
	url := flag.String("registry", "", "where the servers make themselves known: a URL of ZooKeeper, etcd or Consul; by default nowhere")
	servers := flag.Int("servers", 3, "servers to start, two at least")
	flag.Parse()
	program.Run(false, func(ctx context.Context) error { return run(ctx, *url, *servers, os.Stdout) })
}

func run(ctx context.Context, url string, servers int, stdout io.Writer) error {
	if servers < 2 {
		return fmt.Errorf("hello: -servers %d: there must be two, for one to take over", servers)
	}
	dir, err := os.MkdirTemp("", "hello")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := build(ctx, dir, url); err != nil {
		return err
	}
	out := &screen{w: stdout}

	var addrs []string
	var all []*child
	for i := range servers {
		s, err := start(ctx, out, fmt.Sprint("server ", i+1), dir+"/server", "-addr", "127.0.0.1:0", "-registry", url)
		if err != nil {
			return err
		}
		defer s.stop()
		addrs = append(addrs, s.addr)
		all = append(all, s)
	}
	where := []string{"-registry", url}
	if url == "" {
		where = []string{"-servers", strings.Join(addrs, ",")}
	}
	front, err := start(ctx, out, "front", dir+"/front", append(where, "-http", "127.0.0.1:0")...)
	if err != nil {
		return err
	}
	defer front.stop() // before the servers

	if err := ask(ctx, out, front.addr, "ada", "alan", "barbara", "dennis", "edsger", "grace"); err != nil {
		return err
	}
	busiest := slices.MaxFunc(all, func(a, b *child) int { return cmp.Compare(a.said.Load(), b.said.Load()) })
	busiest.kill()
	out.say(busiest.name + " was killed")
	return ask(ctx, out, front.addr, "john", "ken", "leslie", "margaret", "niklaus", "tony")
}

// build builds the two programs. Clients of registries other than ZooKeeper are built
// only for those who ask.
func build(ctx context.Context, dir, url string) error {
	const here = "github.com/minicaptain/multi_connection_pool/examples/hello"
	args := []string{"build", "-o", dir}
	if url != "" && !strings.HasPrefix(url, "zk:") {
		args = append(args, "-tags=registries")
	}
	if out, err := exec.CommandContext(ctx, "go", append(args, here+"/server", here+"/front")...).CombinedOutput(); err != nil {
		return fmt.Errorf("hello: building the programs: %w\n%s", err, out)
	}
	return nil
}

// ask makes a request for each name.
func ask(ctx context.Context, out *screen, front string, names ...string) error {
	client := &http.Client{Timeout: 10 * time.Second}
	for _, name := range names {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+front+"/"+name, http.NoBody)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			return err
		}
		out.say(fmt.Sprintf("GET /%s: %s, %s", name, resp.Status, strings.TrimSpace(string(body))))
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("hello: the front answered %s", resp.Status)
		}
	}
	return nil
}

// screen is where all processes print, one line at a time.
type screen struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *screen) say(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintln(s.w, line)
}
