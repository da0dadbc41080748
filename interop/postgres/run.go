package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/sqlpool"
)

// event is what happens to the cluster while callers read and write.
type event struct {
	name string
	do   func(ctx context.Context, c *cluster) error
}

func events() []event {
	return []event{
		{"nothing", func(context.Context, *cluster) error { return nil }},
		{"kill -9 of a replica, which comes back", func(ctx context.Context, c *cluster) error {
			primary := c.primary(ctx)
			for _, n := range c.nodes {
				if n != primary {
					return again(ctx, c, n, 0)
				}
			}
			return errors.New("there is no replica")
		}},
		{"the primary moves (switchover)", func(ctx context.Context, c *cluster) error {
			before := c.primary(ctx)
			if err := c.switchover(ctx); err != nil {
				return fmt.Errorf("switchover: %w", err)
			}
			return moved(ctx, c, before)
		}},
		{"kill -9 of the primary, which comes back (failover)", func(ctx context.Context, c *cluster) error {
			return again(ctx, c, c.primary(ctx), time.Minute)
		}},
	}
}

// again kills a node and starts it again: a replica soon, a primary when there is
// another one, for which it waits so long.
func again(ctx context.Context, c *cluster, n *node, failover time.Duration) error {
	if n == nil {
		return errors.New("there is no primary")
	}
	if err := n.kill(); err != nil {
		return err
	}
	if failover > 0 {
		if err := moved(ctx, c, n); err != nil {
			return err
		}
	} else {
		pause(ctx, 3*time.Second)
	}
	return c.run(n)
}

func moved(ctx context.Context, c *cluster, before *node) error {
	return until(ctx, "there is another primary", time.Minute, func() bool {
		now := c.primary(ctx)
		return now != nil && now != before
	})
}

func pause(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
}

func run(ctx context.Context, file string) error {
	c, err := newCluster(ctx)
	if c != nil {
		defer c.close()
	}
	if err != nil {
		return err
	}
	reads, closeReads, err := open(c.etcd, "where=role:replica", "any", nil, sqlpool.Idempotent())
	if err != nil {
		return err
	}
	defer closeReads()
	writes, closeWrites, err := open(c.etcd, "where=role:master&where=role:primary", "read-write", []core.Option{core.RemovalGrace(0)})
	if err != nil {
		return err
	}
	defer closeWrites()
	if _, err := writes.ExecContext(ctx, "CREATE TABLE orders (id bigint PRIMARY KEY)"); err != nil {
		return err
	}
	callers := &callers{reads: reads, writes: writes}
	if err := until(ctx, "the replicas have the table", time.Minute, func() bool {
		var n int
		return reads.QueryRowContext(ctx, "SELECT count(*) FROM orders").Scan(&n) == nil
	}); err != nil {
		return err
	}
	callers.look()
	calling, end := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { // ends with calling
		defer close(done)
		callers.run(calling)
	}()
	rows, err := observe(ctx, c, callers)
	end()
	<-done
	if err != nil {
		return err
	}
	lost, err := callers.lost(ctx)
	if err != nil {
		return err
	}
	return report(ctx, file, rows, len(callers.acknowledged), lost)
}

type row struct {
	event string
	seen  seen
}

// observe lets each event happen, and the cluster settle behind it.
func observe(ctx context.Context, c *cluster, callers *callers) (rows []row, err error) {
	for _, e := range events() {
		callers.look()
		if err := e.do(ctx, c); err != nil {
			return nil, fmt.Errorf("%s: %w", e.name, err)
		}
		if err := c.settled(ctx, len(c.nodes)); err != nil {
			return nil, fmt.Errorf("%s: %w", e.name, err)
		}
		pause(ctx, 5*time.Second)
		rows = append(rows, row{e.name, callers.look()})
	}
	return rows, nil
}

func report(ctx context.Context, file string, rows []row, acknowledged, lost int) error {
	var b strings.Builder
	fmt.Fprintf(&b, `## SQL

Eight callers read from the replicas and four write to the primary, about 200 times a second each, through `+"`protocol/sqlpool`"+`, while
Patroni moves the primary. Written on %s with %s, pgx %s, %s and %s. Each call has %v.

| event | reads | on a replica | reads failed | slowest read | writes | writes failed | as | longest time without a write |
|---|--:|--:|--:|--:|--:|--:|---|--:|
`, time.Now().UTC().Format(time.DateOnly), runtime.Version(), pgxVersion(), version(ctx, "patroni", "--version"), version(ctx, "psql", "--version"), patience)
	for _, r := range rows {
		s := r.seen
		failed := fmt.Sprint(s.readFailed)
		if s.readFailed > 0 {
			failed = fmt.Sprintf("**%d** (%s)", s.readFailed, list(s.readErrors))
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %s | %v | %d | %d | %s | %v |\n", r.event, s.read, s.onReplica, failed,
			s.slowestRead.Round(time.Millisecond), s.wrote, s.writeFailed, list(s.writeErrors), s.longestGap.Round(100*time.Millisecond))
	}
	fmt.Fprintf(&b, "\nOf %d writes that were acknowledged the last primary lacks %d (synchronous replication).\n", acknowledged, lost)
	return os.WriteFile(file, []byte(b.String()), 0o644) //nolint:gosec // it is for all to read
}

func version(ctx context.Context, program string, args ...string) string {
	out, err := exec.CommandContext(ctx, program, args...).Output() //nolint:gosec // constants
	if err != nil {
		return program
	}
	return strings.TrimSpace(strings.Replace(string(out), "psql (", "(", 1))
}

func pgxVersion() string {
	info, _ := debug.ReadBuildInfo()
	for _, m := range info.Deps {
		if m.Path == "github.com/jackc/pgx/v5" {
			return m.Version
		}
	}
	return ""
}
