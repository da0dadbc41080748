package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// asker asks for keys in lines, and reads the answers from lines.
type asker struct {
	w io.Writer
	r *bufio.Reader
}

// twemproxy has "distribution: ketama".
type twemproxy struct {
	lines
	hash string
}

func (p twemproxy) file() string { return "twemproxy-" + p.hash + ".txt" }

func (p twemproxy) version(ctx context.Context) (string, error) {
	line, err := output(ctx, "nutcracker", "-V")
	_, version, ok := strings.Cut(line, "nutcracker-")
	if err == nil && !ok {
		err = fmt.Errorf("it says %q", line)
	}
	return fmt.Sprintf("twemproxy (nutcracker) %s with hash: %s", version, p.hash), err
}

func (twemproxy) tables() []table {
	return append(
		usual(9004),
		table{name: "names in the configuration", keys: "user:%d", servers: fleet(9004, true, names("cache-%d"))},
		table{name: "default port", keys: "user:%d", servers: fleet(11211, false)},
		table{name: "25 servers", keys: "user:%d", servers: fleetOf(25, 9004, false)},
	)
}

func (p twemproxy) start(ctx context.Context, dir string, t table) (ask func(string) (string, error), stop func(), err error) {
	addr, err := freeAddr(ctx)
	if err != nil {
		return nil, nil, err
	}
	stats, err := freeAddr(ctx)
	if err != nil {
		return nil, nil, err
	}
	_, statsPort, _ := net.SplitHostPort(stats)
	var servers strings.Builder
	for _, s := range t.servers {
		fmt.Fprintf(&servers, "   - %s:%d %s\n", s.addr, s.weight, s.name)
	}
	conf := fmt.Sprintf(`fleet:
  listen: %s
  hash: %s
  distribution: ketama
  auto_eject_hosts: true
  server_failure_limit: 1
  server_retry_timeout: 1000000
  servers:
%s`, addr, p.hash, servers.String())
	end, err := launch(ctx, dir, conf, addr, "nutcracker", "-c", filepath.Join(dir, "conf"), "-a", "127.0.0.1", "-s", statsPort)
	if err != nil {
		return nil, nil, err
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		end()
		return nil, nil, err
	}
	a := asker{c, bufio.NewReader(c)}
	return a.get, func() { _ = c.Close(); end() }, nil
}

// get asks for the value of a key until there is no error: the first call to a server
// that is down fails.
func (a asker) get(key string) (value string, err error) {
	for range 20 {
		if _, err := fmt.Fprintf(a.w, "get %s\r\n", key); err != nil {
			return "", err
		}
		line, err := a.r.ReadString('\n')
		if err != nil {
			return "", err
		}
		if strings.HasPrefix(line, "SERVER_ERROR") {
			continue
		}
		if !strings.HasPrefix(line, "VALUE ") {
			return "", fmt.Errorf("the answer is %q", line)
		}
		value, err := a.r.ReadString('\n')
		if err == nil {
			_, err = a.r.ReadString('\n') // END
		}
		return strings.TrimSpace(value), err
	}
	return "", fmt.Errorf("no server has %s", key)
}

// libmemcached has a behavior of that name.
type libmemcached struct {
	lines
	behavior string
}

func (p libmemcached) file() string {
	return "libmemcached-" + strings.ToLower(strings.TrimPrefix(p.behavior, "MEMCACHED_BEHAVIOR_")) + ".txt"
}

func (p libmemcached) version(ctx context.Context) (string, error) {
	line, err := output(ctx, "pkg-config", "--modversion", "libmemcached")
	if err != nil {
		line, err = output(ctx, "dpkg-query", "-W", "-f", "${Version}\n", "libmemcached-dev")
	}
	return fmt.Sprintf("libmemcached %s with %s", line, p.behavior), err
}

func (libmemcached) tables() []table {
	return append(
		usual(9005),
		table{name: "default port", keys: "user:%d", servers: fleet(11211, false)},
		table{name: "25 servers", keys: "user:%d", servers: fleetOf(25, 9005, false)},
		table{name: "IPv6", keys: "user:%d", servers: fleet(9005, false, func(i int, s *server) { s.addr = fmt.Sprintf("[::1]:%d", 9101+i) })},
	)
}

func (p libmemcached) start(ctx context.Context, dir string, t table) (ask func(string) (string, error), stop func(), err error) {
	program := filepath.Join(dir, "ask")
	cmd := exec.CommandContext(ctx, "gcc", "-DBEHAVIOR="+p.behavior, "-o", program, "rings/libmemcached/ask.c", "-lmemcached") //nolint:gosec // constants
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, nil, fmt.Errorf("%w: %s", err, out)
	}
	var args []string
	for _, s := range t.servers {
		host, port, _ := net.SplitHostPort(s.addr)
		args = append(args, host, port, strconv.Itoa(s.weight))
	}
	cmd = exec.CommandContext(ctx, program, args...) //nolint:gosec // as above
	w, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	r := bufio.NewReader(out)
	ask = func(key string) (string, error) {
		if _, err := fmt.Fprintln(w, key); err != nil {
			return "", err
		}
		line, err := r.ReadString('\n')
		return strings.TrimSpace(line), err
	}
	return ask, func() { _ = w.Close(); _ = cmd.Wait() }, nil
}
