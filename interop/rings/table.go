package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/minicaptain/multi_connection_pool/balance"
)

// keys is how many keys each table has.
const keys = 1000

// server is a server as a program's configuration has it.
type server struct {
	addr   string
	weight int
	name   string // in the configuration, if it may have one
	down   bool
}

// digits are the numbers of servers, in tables and answers.
const digits = "0123456789abcdefghijklmnopqrstuvwxyz"

// table is one configuration of a program. owners has the digit of each key's server.
type table struct {
	name    string
	keys    string // their pattern
	servers []server
	owners  string
}

// key returns key number i.
func (t table) key(i int) string { return fmt.Sprintf(t.keys, i) }

// program is a program that places keys.
type program interface {
	// file is the name of the golden file, and version what the program says of itself.
	file() string
	version(ctx context.Context) (string, error)
	// ring is the balancer that shall place keys as the program does.
	ring(t table) balance.Balancer
	// tables returns the configurations that are asked for, without owners.
	tables() []table
	// serve runs the servers of a table that are not down until stop is called.
	serve(ctx context.Context, servers []server) (stop func(), err error)
	// start runs the program before the servers of t until stop is called, and returns
	// a function that asks for the server of a key through it.
	start(ctx context.Context, dir string, t table) (ask func(key string) (owner string, err error), stop func(), err error)
}

func programs() []program {
	return []program{
		nginx{},
		haproxy{},
		twemproxy{hash: "fnv1a_64"},
		twemproxy{hash: "md5"},
		libmemcached{behavior: "MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED"},
		libmemcached{behavior: "MEMCACHED_BEHAVIOR_KETAMA"},
		grpcRing{},
	}
}

// run asks all programs. It writes their tables into the folder dir, and how many keys
// our rings place as they do into the file report.
func run(ctx context.Context, dir, report string) error {
	var errs error
	var rows strings.Builder
	rows.WriteString("## Rings\n\nWhere real programs place a thousand keys, and our rings. Written by `make rings`.\n\n| program | servers | keys at the same server |\n|---|---|--:|\n")
	for _, p := range programs() {
		if err := write(ctx, dir, p, &rows); err != nil {
			errs = errors.Join(errs, fmt.Errorf("%s: %w", p.file(), err))
		}
	}
	return errors.Join(errs, os.WriteFile(report, []byte(rows.String()), 0o644)) //nolint:gosec // it is for all to read
}

// write asks one program, and writes its file and its rows.
func write(ctx context.Context, dir string, p program, rows *strings.Builder) error {
	version, err := p.version(ctx)
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Where %s places keys. Made by interop/rings, which runs it; do not edit.\n", version)
	for _, t := range p.tables() {
		if t.owners, err = place(ctx, p, t); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		fmt.Fprintf(&b, "\ntable %s\nkeys %s\n", t.name, t.keys)
		for _, s := range t.servers {
			fmt.Fprintf(&b, "server %s weight=%d", s.addr, s.weight)
			if s.name != "" {
				fmt.Fprintf(&b, " name=%s", s.name)
			}
			if s.down {
				b.WriteString(" down")
			}
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "owners %s\n", t.owners)
		fmt.Fprintf(rows, "| %s | %s | %d of %d |\n", version, t.name, agree(p.ring(t), t), keys)
		fmt.Printf("%-14s %-40s %v\n", p.file(), t.name, count(t)) //nolint:forbidigo // this is a program
	}
	return os.WriteFile(filepath.Join(dir, p.file()), []byte(b.String()), 0o644) //nolint:gosec // it is for all to read
}

// count returns how many keys each server has.
func count(t table) []int {
	n := make([]int, len(t.servers))
	for _, c := range t.owners {
		n[strings.IndexRune(digits, c)]++
	}
	return n
}

// place returns the owners of the keys of t.
func place(ctx context.Context, p program, t table) (owners string, err error) {
	stopServers, err := p.serve(ctx, t.servers)
	if err != nil {
		return "", err
	}
	defer stopServers()
	dir, err := os.MkdirTemp("", "rings")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ask, stop, err := p.start(ctx, dir, t)
	if err != nil {
		return "", err
	}
	defer stop()
	var b strings.Builder
	for i := range keys {
		owner, err := ask(t.key(i))
		if n := strings.Index(digits, owner); err == nil && (len(owner) != 1 || n < 0 || n >= len(t.servers) || t.servers[n].down) {
			err = fmt.Errorf("the answer is %q", owner)
		}
		if err != nil {
			return "", fmt.Errorf("key %s: %w", t.key(i), err)
		}
		b.WriteString(owner)
	}
	return b.String(), nil
}

// fleet returns four servers on loopback, the second of weight 3 if weighted, with
// changes.
func fleet(port int, weighted bool, changes ...func(i int, s *server)) []server {
	return fleetOf(4, port, weighted, changes...)
}

func fleetOf(n, port int, weighted bool, changes ...func(i int, s *server)) []server {
	all := make([]server, n)
	for i := range all {
		all[i] = server{addr: fmt.Sprintf("127.11.0.%d:%d", i+1, port), weight: 1}
		if weighted && i == 1 {
			all[i].weight = 3
		}
		for _, change := range changes {
			change(i, &all[i])
		}
	}
	return all
}

// down makes server i unavailable.
func down(i int) func(int, *server) {
	return func(k int, s *server) { s.down = s.down || k == i }
}

// names gives each server a name.
func names(pattern string) func(int, *server) {
	return func(k int, s *server) { s.name = fmt.Sprintf(pattern, k+1) }
}

// usual returns the tables that are asked of every program.
func usual(port int) []table {
	return []table{
		{name: "equal weights", keys: "user:%d", servers: fleet(port, false)},
		{name: "different weights", keys: "user:%d", servers: fleet(port, true)},
		{name: "equal weights, one down", keys: "user:%d", servers: fleet(port, false, down(2))},
		{name: "equal weights, two down", keys: "user:%d", servers: fleet(port, false, down(0), down(2))},
		{name: "different weights, one down", keys: "user:%d", servers: fleet(port, true, down(2))},
		{name: "keys that are not ASCII", keys: "größe:%d", servers: fleet(port, false)},
		{name: "long keys", keys: strings.Repeat("long", 30) + "%d", servers: fleet(port, false)},
	}
}
