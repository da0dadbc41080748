package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// askHTTP returns a function that asks for a key through the proxy at addr.
func askHTTP(ctx context.Context, addr string) func(key string) (string, error) {
	return func(key string) (string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/?k="+url.QueryEscape(key), http.NoBody)
		if err != nil {
			return "", err
		}
		req.Header.Set("X-Key", key)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return "", err
		}
		defer func() { _ = resp.Body.Close() }()
		b, err := io.ReadAll(io.LimitReader(resp.Body, 1000))
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", resp.Status, b)
		}
		return string(b), err
	}
}

// nginx has "hash $http_x_key consistent".
type nginx struct{ lines }

func (nginx) file() string { return "nginx.txt" }

func (nginx) version(ctx context.Context) (string, error) {
	line, err := output(ctx, "nginx", "-v")
	return strings.Replace(strings.TrimPrefix(line, "nginx version: "), "/", " ", 1), err
}

func (nginx) tables() []table {
	return append(
		usual(9001),
		// The resolver takes this for a name of 127.11.0.%d.
		table{name: "host names", keys: "user:%d", servers: fleet(9002, true, names("127.11.%d:9002"))},
		table{name: "default port, not in the configuration", keys: "user:%d", servers: fleet(80, false, names("127.11.0.%d"))},
		table{name: "default port, in the configuration", keys: "user:%d", servers: fleet(80, false)},
	)
}

func (nginx) start(ctx context.Context, dir string, t table) (ask func(string) (string, error), stop func(), err error) {
	addr, err := freeAddr(ctx)
	if err != nil {
		return nil, nil, err
	}
	var servers strings.Builder
	for _, s := range t.servers {
		name := s.addr
		if s.name != "" {
			name = s.name
		}
		fmt.Fprintf(&servers, "server %s weight=%d fail_timeout=1000s;\n", name, s.weight)
	}
	conf := fmt.Sprintf(`daemon off; master_process off; pid %s/pid; error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
	upstream fleet { hash $http_x_key consistent; %s }
	server { listen %s; location / { proxy_pass http://fleet; } }
}`, dir, servers.String(), addr)
	stop, err = launch(ctx, dir, conf, addr, "nginx", "-p", dir, "-c", filepath.Join(dir, "conf"), "-e", "stderr")
	return askHTTP(ctx, addr), stop, err
}

// haproxy has "balance hdr(X-Key)" and "hash-type consistent".
type haproxy struct{ lines }

func (haproxy) file() string { return "haproxy.txt" }

func (haproxy) version(ctx context.Context) (string, error) {
	line, err := output(ctx, "haproxy", "-v")
	words := strings.Fields(line)
	if err == nil && len(words) < 3 {
		err = fmt.Errorf("it says %q", line)
	}
	if err != nil {
		return "", err
	}
	return "HAProxy " + words[2], nil
}

func (haproxy) tables() []table {
	return append(usual(9003), table{name: "ids in the configuration", keys: "user:%d", servers: fleet(9003, true, func(i int, s *server) {
		s.name = strconv.Itoa(40 - 7*i)
	})})
}

func (haproxy) start(ctx context.Context, dir string, t table) (ask func(string) (string, error), stop func(), err error) {
	addr, err := freeAddr(ctx)
	if err != nil {
		return nil, nil, err
	}
	var servers strings.Builder
	for i, s := range t.servers {
		fmt.Fprintf(&servers, "\tserver s%d %s weight %d check inter 100ms fall 1 rise 1", i, s.addr, s.weight)
		if s.name != "" {
			fmt.Fprintf(&servers, " id %s", s.name)
		}
		servers.WriteByte('\n')
	}
	socket := filepath.Join(dir, "socket")
	conf := fmt.Sprintf(`global
	stats socket %s
defaults
	mode http
	timeout connect 5s
	timeout client 30s
	timeout server 30s
listen fleet
	bind %s
	balance hdr(X-Key)
	hash-type consistent
%s`, socket, addr, servers.String())
	stop, err = launch(ctx, dir, conf, addr, "haproxy", "-db", "-f", filepath.Join(dir, "conf"))
	if err != nil {
		return nil, nil, err
	}
	if err := awaitStates(ctx, socket, t); err != nil {
		stop()
		return nil, nil, err
	}
	return askHTTP(ctx, addr), stop, nil
}

// awaitStates returns when HAProxy knows which servers are down: until then it sends
// their calls to any other, not to the next on the ring.
func awaitStates(ctx context.Context, socket string, t table) error {
	for range 200 {
		c, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
		if err != nil { // it opens its port first
			time.Sleep(50 * time.Millisecond)
			continue
		}
		_, _ = fmt.Fprintln(c, "show stat")
		known := 0
		for lines := bufio.NewScanner(c); lines.Scan(); {
			field := strings.Split(lines.Text(), ",") // proxy, server, ..., status is number 17
			if len(field) < 18 || field[0] != "fleet" || !strings.HasPrefix(field[1], "s") {
				continue
			}
			i, err := strconv.Atoi(field[1][1:])
			if err == nil && (field[17] == "DOWN") == t.servers[i].down && (field[17] == "UP") != t.servers[i].down {
				known++
			}
		}
		_ = c.Close()
		if known == len(t.servers) {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("%s: the states of the servers are not what they should be", t.name)
}
