package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// lines is the servers of programs with protocols of lines, HTTP or memcached's: they
// answer in the one in which they are asked, with their number.
type lines struct{}

func (lines) serve(ctx context.Context, servers []server) (stop func(), err error) {
	return listen(ctx, servers, func(i int, ln net.Listener) (stop func()) {
		go func() { // ends with the listener
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				go answer(c, i) // ends with the connection
			}
		}()
		return func() { _ = ln.Close() }
	})
}

// listen starts a server on a listener for each that is not down, by its number. stop
// stops all that were started.
func listen(ctx context.Context, servers []server, start func(i int, ln net.Listener) (stop func())) (stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, f := range stops {
			f()
		}
	}
	for i, s := range servers {
		if s.down {
			continue
		}
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.addr)
		if err != nil {
			stop()
			return nil, err
		}
		stops = append(stops, start(i, ln))
	}
	return stop, nil
}

// answer answers the requests on c.
func answer(c net.Conn, number int) {
	defer func() { _ = c.Close() }()
	r := bufio.NewReader(c)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		words := strings.Fields(line)
		switch {
		case len(words) == 2 && (words[0] == "get" || words[0] == "gets"):
			_, err = fmt.Fprintf(c, "VALUE %s 0 1\r\n%c\r\nEND\r\n", words[1], digits[number])
		case len(words) == 1 && words[0] == "version":
			_, err = fmt.Fprint(c, "VERSION 1.6.18\r\n")
		case len(words) == 3 && words[0] == "GET":
			for line != "\r\n" && err == nil {
				line, err = r.ReadString('\n')
			}
			if err == nil {
				_, err = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%c", digits[number])
			}
		default:
			return
		}
		if err != nil {
			return
		}
	}
}

// freeAddr returns an address on loopback that nobody listens on.
func freeAddr(ctx context.Context) (string, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// launch starts a program with a configuration, in a folder that both are in, and
// returns when it listens on addr.
func launch(ctx context.Context, dir, conf, addr, name string, args ...string) (stop func(), err error) {
	if err := os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o600); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // the programs of this file's callers
	cmd.Dir = dir
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	stop = func() {
		cancel()
		_ = cmd.Wait() // it was killed
	}
	for range 500 {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err == nil {
			return stop, c.Close()
		}
		time.Sleep(20 * time.Millisecond)
	}
	stop()
	return nil, fmt.Errorf("%s does not listen: %s", name, said.String())
}

// output returns the first line that a program prints.
func output(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput() //nolint:gosec // the programs of this file's callers
	line, _, _ := strings.Cut(string(out), "\n")
	return line, err
}
