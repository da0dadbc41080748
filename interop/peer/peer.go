// Package peer is the frame of the programs that register and find servers with another
// project's own library. Each is a module of its own, since their dependencies conflict.
// A registry is given as kind and address, such as etcd://127.0.0.1:2379:
//
//	peer register <registry> <service> <host:port> <weight> <zone>   until standard input ends
//	peer watch <registry> <service>                                  prints each set as a line of JSON
//	peer serve <registry> <service> <host:port>                      serves, and registers nothing, until standard input ends
//	peer pick <registry> <service> <n>                               prints how often the project's balancer picks each server
package peer

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Server is a server as the library has it. Weight and Zone are zero if it has none.
type Server struct {
	Addr   string
	Weight float64
	Zone   string
}

// Library is a project's registrar and resolver of one kind of registry. registry is the
// registry's address.
type Library struct {
	// Register registers a server. stop is how a program of the project ends.
	Register func(ctx context.Context, registry, service string, s Server) (stop func() error, err error)
	// Watch reports each set, and returns when it fails.
	Watch func(ctx context.Context, registry, service string, report func([]Server)) error
	// Serve serves what Pick calls, until it is closed. Nil is [Listen].
	Serve func(ctx context.Context, addr, service string) (io.Closer, error)
	// Pick, if it is not nil, returns the project's balancer over the servers that its
	// resolver has found: each call of next picks one.
	Pick func(ctx context.Context, registry, service string) (next func() (addr string, err error), err error)
}

// Main is the program. It exits with 1 if the library fails.
func Main(byKind map[string]Library) {
	if err := run(context.Background(), byKind, os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, byKind map[string]Library, args []string, in io.Reader, out io.Writer) error {
	if len(args) < 3 {
		return fmt.Errorf("arguments %q: want register, watch, serve or pick", args)
	}
	kind, registry, _ := strings.Cut(args[1], "://")
	l, ok := byKind[kind]
	if !ok {
		return fmt.Errorf("no library for registries of the kind %q", kind)
	}
	service := args[2]
	if l.Serve == nil {
		l.Serve = func(ctx context.Context, addr, _ string) (io.Closer, error) { return Listen(ctx, addr) }
	}
	switch {
	case len(args) == 6 && args[0] == "register":
		weight, err := strconv.ParseFloat(args[4], 64)
		if err != nil {
			return err
		}
		return register(ctx, l, registry, service, Server{args[3], weight, args[5]}, in, out)
	case len(args) == 3 && args[0] == "watch":
		return l.Watch(ctx, registry, service, func(servers []Server) {
			if servers == nil {
				servers = []Server{}
			}
			slices.SortFunc(servers, func(a, b Server) int { return cmp.Compare(a.Addr, b.Addr) })
			line, _ := json.Marshal(servers)
			_, _ = fmt.Fprintf(out, "%s\n", line)
		})
	case len(args) == 4 && args[0] == "serve":
		closer, err := l.Serve(ctx, args[3], service)
		if err != nil {
			return err
		}
		return until(in, out, closer.Close)
	case len(args) == 4 && args[0] == "pick":
		n, err := strconv.Atoi(args[3])
		if err != nil {
			return err
		}
		return pick(ctx, l, registry, service, n, out)
	default:
		return fmt.Errorf("arguments %q: want register, watch, serve or pick", args)
	}
}

// register serves and registers a server.
func register(ctx context.Context, l Library, registry, service string, s Server, in io.Reader, out io.Writer) error {
	closer, err := l.Serve(ctx, s.Addr, service)
	if err != nil {
		return err
	}
	defer func() { _ = closer.Close() }()
	stop, err := l.Register(ctx, registry, service, s)
	if err != nil {
		return err
	}
	return until(in, out, stop)
}

// until says that all is ready, and stops when in ends, which is with the harness at the
// latest.
func until(in io.Reader, out io.Writer, stop func() error) error {
	if _, err := fmt.Fprintln(out, "registered"); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, bufio.NewReader(in))
	return stop()
}

// pick prints how often each server is picked of n times.
func pick(ctx context.Context, l Library, registry, service string, n int, out io.Writer) error {
	if l.Pick == nil {
		return errors.New("it has no balancer")
	}
	next, err := l.Pick(ctx, registry, service)
	if err != nil {
		return err
	}
	picked := map[string]int{}
	for range n {
		addr, err := next()
		if err != nil {
			return err
		}
		picked[addr]++
	}
	line, err := json.Marshal(picked)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", line)
	return err
}

// Listen accepts connections until it is closed, for registries that check servers, and
// closes each at once.
func Listen(ctx context.Context, addr string) (io.Closer, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	go func() { // ends when it is closed
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	return ln, nil
}

// Poll reports the set that ask returns, five times in a second, for libraries that ask
// rather than watch. An error is for such a library that the service has no server.
func Poll(ctx context.Context, report func([]Server), ask func() ([]Server, error)) error {
	for ; ctx.Err() == nil; time.Sleep(200 * time.Millisecond) {
		servers, err := ask()
		if err != nil {
			servers = nil
		}
		report(servers)
	}
	return ctx.Err()
}

// Weight reads a weight in metadata, which may be text or a number; what is neither is 0.
func Weight(v any) float64 {
	w, err := strconv.ParseFloat(fmt.Sprint(v), 64)
	if err != nil {
		return 0
	}
	return w
}
