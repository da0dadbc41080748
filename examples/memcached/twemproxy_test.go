package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/examples/internal/process"
)

// startTwemproxy runs twemproxy before servers, which are lines of its configuration.
func startTwemproxy(t *testing.T, servers []string) *process.Server {
	t.Helper()
	stats, err := net.Listen("tcp", "127.0.0.1:0") // its statistics need a port of their own
	if err != nil {
		t.Fatal(err)
	}
	_, statsPort, _ := net.SplitHostPort(stats.Addr().String())
	if err := stats.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	return process.Start(t, "nutcracker", func(port string) []string {
		conf := fmt.Sprintf("fleet:\n  listen: 127.0.0.1:%s\n  distribution: ketama\n  servers:\n   - %s\n", port, strings.Join(servers, "\n   - "))
		file := filepath.Join(dir, "nutcracker.yml")
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{"-c", file, "-a", "127.0.0.1", "-s", statsPort}
	})
}

// openLikeTwemproxy returns a client of servers, which are lines of twemproxy's
// configuration.
func openLikeTwemproxy(t *testing.T, servers []string, opts ...core.Option) *Client {
	t.Helper()
	fleet, err := readServers(servers)
	if err != nil {
		t.Fatal(err)
	}
	client, err := Open(static.Endpoints(fleet...), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := client.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return client
}

func TestACacheThatTwemproxyFilledIsWarm(t *testing.T) {
	servers := []*process.Server{start(t), start(t), start(t), start(t)}
	var lines []string
	for i, s := range servers {
		line := fmt.Sprint(s.Addr, ":", 1)
		switch i {
		case 1:
			line = fmt.Sprint(s.Addr, ":", 3) // of three times the weight
		case 2:
			line += " cache-3" // with a name, which decides about its keys
		}
		lines = append(lines, line)
	}
	const keys = 1000
	fill(t, startTwemproxy(t, lines).Addr, keys)
	hits := func(client *Client) (n int) {
		for i := range keys {
			value, err := client.Get(t.Context(), fmt.Sprint("user:", i))
			switch {
			case err == nil && value == fmt.Sprint("value ", i):
				n++
			case !errors.Is(err, ErrMiss):
				t.Fatalf("user:%d: %q, %v", i, value, err)
			}
		}
		return n
	}
	if n := hits(openLikeTwemproxy(t, lines, likeTwemproxy())); n != keys {
		t.Errorf("a client that places keys as twemproxy does found %d of %d", n, keys)
	}
	if n := hits(openLikeTwemproxy(t, lines)); n > keys/2 {
		t.Errorf("a client that places keys in its own way found %d of %d: the test shows nothing", n, keys)
	}
	if code, out, last := process.Self(t, nil, "-twemproxy", "-servers", strings.Join(lines, ","), "user:7"); code != 0 || out != "value 7\n" {
		t.Errorf("exit status %d, output %q, last line %q", code, out, last)
	}
}

// fill stores values of user:0, user:1 and so on through the proxy at addr.
func fill(t *testing.T, addr string, keys int) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	r := bufio.NewReader(c)
	for i := range keys {
		value := fmt.Sprint("value ", i)
		if _, err := fmt.Fprintf(c, "set user:%d 0 0 %d\r\n%s\r\n", i, len(value), value); err != nil {
			t.Fatal(err)
		}
		if line, err := r.ReadString('\n'); line != "STORED\r\n" {
			t.Fatalf("twemproxy answered %q, %v", line, err)
		}
	}
}

func TestServersOfTwemproxyAreReadAsItReadsThem(t *testing.T) {
	got, err := readServers([]string{"127.0.0.1:11211:1", " 127.0.0.1:11212:3 cache-2"})
	if err != nil || len(got) != 2 || got[0].Addr != "127.0.0.1:11211" || got[0].Weight != 1 || got[0].Attrs != nil ||
		got[1].Addr != "127.0.0.1:11212" || got[1].Weight != 3 || got[1].Attrs[nameAttr] != "cache-2" {
		t.Errorf("got %v, %v", got, err)
	}
	for _, line := range []string{"", "127.0.0.1", "127.0.0.1:11211:none", "127.0.0.1:11211:0"} {
		if got, err := readServers([]string{line}); err == nil {
			t.Errorf("%q is read as %v", line, got)
		}
	}
}
