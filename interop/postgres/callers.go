package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/etcd"
	"github.com/minicaptain/multi_connection_pool/protocol/sqlpool"
)

// open returns a database of the members with a role, and what closes it.
func open(registry, where, attrs string, opts []core.Option, dbOpts ...sqlpool.Option) (*sql.DB, func(), error) {
	var mux discovery.Mux
	mux.Handle("etcd", etcd.Opener)
	w, err := mux.Open("etcd://" + registry + "/service/orders/members/?format=patroni&" + where)
	if err != nil {
		return nil, nil, err
	}
	pool, err := core.New(w, sqlpool.Dial(sqlpool.Config{
		Connector: sqlpool.DSN(stdlib.GetDefaultDriver(), func(addr string) string {
			return "postgres://postgres@" + addr + "/postgres?sslmode=disable&target_session_attrs=" + attrs
		}),
	}), opts...)
	if err != nil {
		return nil, nil, err
	}
	db := sqlpool.OpenDB(pool, dbOpts...)
	return db, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_, _ = db.Close(), pool.Close(ctx)
	}, nil
}

// callers read and write, and count what they see.
type callers struct {
	reads, writes *sql.DB
	number        atomic.Int64 // of writes

	mu           sync.Mutex
	seen         seen
	acknowledged []int64
}

// seen is what the callers saw since the last look.
type seen struct {
	read, readFailed   int
	onReplica          int
	slowestRead        time.Duration
	readErrors         map[string]int
	wrote, writeFailed int
	writeErrors        map[string]int
	lastWrite          time.Time
	longestGap         time.Duration // between two writes that succeeded
}

// look returns what was seen, and begins anew.
func (c *callers) look() seen {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.seen
	c.seen = seen{readErrors: map[string]int{}, writeErrors: map[string]int{}, lastWrite: s.lastWrite}
	return s
}

func (c *callers) run(ctx context.Context) {
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { repeat(ctx, c.read) })
	}
	for range 4 {
		all.Go(func() { repeat(ctx, c.write) })
	}
	all.Wait()
}

// repeat calls f about two hundred times a second.
func repeat(ctx context.Context, f func(context.Context)) {
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		select {
		case <-tick.C:
			f(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// patience is the deadline of each call.
const patience = 5 * time.Second

func (c *callers) read(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := time.Now()
	var replica bool
	var count int64
	err := c.reads.QueryRowContext(ctx, "SELECT pg_is_in_recovery(), count(*) FROM (SELECT id FROM orders LIMIT $1) AS first", 100).Scan(&replica, &count)
	took := time.Since(began)
	if errors.Is(ctx.Err(), context.Canceled) {
		return // the end
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen.slowestRead = max(c.seen.slowestRead, took)
	if err != nil {
		c.seen.readFailed++
		c.seen.readErrors[kind(err)]++
		return
	}
	c.seen.read++
	if replica {
		c.seen.onReplica++
	}
}

func (c *callers) write(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	id := c.number.Add(1)
	_, err := c.writes.ExecContext(ctx, "INSERT INTO orders (id) VALUES ($1)", id)
	if errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.seen.writeFailed++
		c.seen.writeErrors[kind(err)]++
		return
	}
	now := time.Now()
	if !c.seen.lastWrite.IsZero() {
		c.seen.longestGap = max(c.seen.longestGap, now.Sub(c.seen.lastWrite))
	}
	c.seen.wrote++
	c.seen.lastWrite = now
	c.acknowledged = append(c.acknowledged, id)
}

// kind is an error as callers tell it from others.
func kind(err error) string {
	var state *pgconn.PgError
	switch {
	case errors.Is(err, core.ErrNoEndpoint):
		return "no server in the registry"
	case errors.Is(err, core.ErrUnavailable):
		return "no server can be dialed"
	case errors.As(err, &state):
		return "SQLSTATE " + state.Code
	case errors.Is(err, context.DeadlineExceeded):
		return "deadline"
	case errors.As(err, new(*sqlpool.Error)):
		return "connection lost in the call"
	default:
		return strings.ReplaceAll(err.Error(), "|", "/")
	}
}

// lost returns how many acknowledged writes the primary does not have.
func (c *callers) lost(ctx context.Context) (int, error) {
	rows, err := c.writes.QueryContext(ctx, "SELECT id FROM orders ORDER BY id")
	if err != nil {
		return 0, err
	}
	defer func() { _ = rows.Close() }()
	var there []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return 0, err
		}
		there = append(there, id)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	lost := 0
	for _, id := range c.acknowledged {
		if _, ok := slices.BinarySearch(there, id); !ok {
			lost++
		}
	}
	return lost, rows.Err()
}

// list writes counts of errors as text.
func list(errs map[string]int) string {
	var parts []string
	for k, n := range errs {
		parts = append(parts, fmt.Sprintf("%d %s", n, k))
	}
	slices.Sort(parts)
	return strings.Join(parts, "; ")
}
