// Command hello runs the hello service of this library's first version: three Thrift
// servers and an HTTP front that calls them through a pool, each in a process of its
// own. It requests some greetings from the front, kills a server and requests more. The
// front must answer all of them.
//
//	go run ./examples/hello
//
// By default the front gets a list of the servers. With -registry, the servers register
// there and the front finds them:
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
	url := flag.String("registry", "", "URL of ZooKeeper, etcd or Consul, where the servers register; empty for none")
	servers := flag.Int("servers", 3, "number of servers, at least 2")
	flag.Parse() // exits with 2
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "hello: %q: there are no arguments\n", flag.Args())
		os.Exit(2)
	}
	program.Run(false, func(ctx context.Context) error { return run(ctx, *url, *servers, os.Stdout) })
}

func run(ctx context.Context, url string, servers int, stdout io.Writer) error {
	if servers < 2 {
		return fmt.Errorf("hello: -servers %d: must be at least 2, so that another server takes over", servers)
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
	source := []string{"-registry", url}
	if url == "" {
		source = []string{"-servers", strings.Join(addrs, ",")}
	}
	front, err := start(ctx, out, "front", dir+"/front", append(source, "-http", "127.0.0.1:0")...)
	if err != nil {
		return err
	}
	defer front.stop() // before the servers
	out.print("the front's pool, live: http://" + front.addr + "/debug/pools/")

	if err := request(ctx, out, front.addr, "ada", "alan", "barbara", "dennis", "edsger", "grace"); err != nil {
		return err
	}
	busiest := slices.MaxFunc(all, func(a, b *child) int { return cmp.Compare(a.lines.Load(), b.lines.Load()) })
	busiest.kill()
	out.print(busiest.name + " was killed")
	return request(ctx, out, front.addr, "john", "ken", "leslie", "margaret", "niklaus", "tony")
}

// build builds the two programs. It builds the clients of registries other than
// ZooKeeper only if url needs one.
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

// request makes a request to the front for each name.
func request(ctx context.Context, out *screen, front string, names ...string) error {
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
		out.print(fmt.Sprintf("GET /%s: %s, %s", name, resp.Status, strings.TrimSpace(string(body))))
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("hello: the front answered %s", resp.Status)
		}
	}
	return nil
}

// screen prints the lines of all processes, one at a time.
type screen struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *screen) print(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintln(s.w, line)
}
