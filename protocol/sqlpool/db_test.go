package sqlpool_test

import (
	"bufio"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
	"github.com/minicaptain/multi_connection_pool/protocol/protocoltest"
	"github.com/minicaptain/multi_connection_pool/protocol/sqlpool"
)

func TestEachQueryLeasesAConnectionAndGivesItBack(t *testing.T) {
	one, two := serve(t, nil), serve(t, nil)
	pool := newPool(t, config(nil), watcher(one, two), core.WithBalancer(balance.RoundRobin()))
	db := openDB(t, pool)
	for i := range 100 {
		want := fmt.Sprint("hello ", i)
		if got, err := ask(t.Context(), db, want); err != nil || got != want {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	if a, b := len(one.asked("query")), len(two.asked("query")); a != 50 || b != 50 {
		t.Errorf("the servers were asked %d and %d times: the pool did not choose", a, b)
	}
	if got := dials(pool); !slices.Equal(got, []uint64{1, 1}) {
		t.Errorf("dials %v", got)
	}
	idle(t, pool)
	if st := db.Stats(); st.Idle != 0 || st.OpenConnections != 0 {
		t.Errorf("database/sql keeps connections: %+v", st)
	}
}

func TestCallersShareTheConnections(t *testing.T) {
	pool := newPool(t, config(nil), watcher(serve(t, nil)), core.MaxActive(2))
	db := openDB(t, pool)
	var callers sync.WaitGroup
	for i := range 8 {
		callers.Go(func() {
			for j := range 50 {
				want := fmt.Sprint(i, "-", j)
				if got, err := ask(t.Context(), db, want); err != nil || got != want {
					t.Errorf("got %q, %v, want %q", got, err, want)
				}
			}
		})
	}
	callers.Wait()
	idle(t, pool)
	if n := dials(pool)[0]; n > 2 {
		t.Errorf("%d dials", n)
	}
}

func TestErrorsOfSQLAreAnswers(t *testing.T) {
	db, pool := newDB(t, []*server{serve(t, nil)}, sqlpool.Idempotent())
	for range 50 {
		_, err := ask(t.Context(), db, "wrong")
		var state *sqlError
		if !errors.As(err, &state) || errors.Is(err, driver.ErrBadConn) || errors.As(err, new(*sqlpool.Error)) {
			t.Fatalf("got %v", err)
		}
	}
	st := pool.Stats().Endpoints[0]
	if st.Dials != 1 || st.Ejected {
		t.Errorf("%d dials, ejected %v", st.Dials, st.Ejected)
	}
}

// once hangs up at the first statement.
func once(first *sync.Once) func(string) string {
	return func(line string) string {
		reply := ""
		if strings.HasPrefix(line, "query") || strings.HasPrefix(line, "exec") {
			first.Do(func() { reply = hangUp })
		}
		return reply
	}
}

func TestWhatTheServerMayHaveExecutedIsNotRepeated(t *testing.T) {
	var first sync.Once
	one, two := serve(t, once(&first)), serve(t, once(&first))
	db, pool := newDB(t, []*server{one, two})
	_, err := db.ExecContext(t.Context(), "write")
	var e *sqlpool.Error
	if !errors.As(err, &e) || e.Endpoint == "" || !strings.Contains(err.Error(), e.Endpoint) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
	if errors.Is(err, driver.ErrBadConn) {
		t.Errorf("%v asks database/sql to repeat it", err)
	}
	if n := len(one.asked("exec")) + len(two.asked("exec")); n != 1 {
		t.Errorf("it was sent %d times", n)
	}
	idle(t, pool)
}

func TestIdempotentStatementsAreRepeatedElsewhere(t *testing.T) {
	for name, statement := range map[string]func(context.Context, *sql.DB) error{
		"query": func(ctx context.Context, db *sql.DB) error {
			got, err := ask(ctx, db, "read")
			if err == nil && got != "read" {
				err = fmt.Errorf("got %q", got)
			}
			return err
		},
		"exec": func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, "read")
			return err
		},
		"prepared": func(ctx context.Context, db *sql.DB) error {
			st, err := db.PrepareContext(ctx, "read")
			if err != nil {
				return err
			}
			var got string
			return errors.Join(st.QueryRowContext(ctx).Scan(&got), st.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			var first sync.Once
			db, pool := newDB(t, []*server{serve(t, once(&first)), serve(t, once(&first))},
				sqlpool.WithIdempotent(func(_ context.Context, query string) bool { return query == "read" }))
			if err := statement(t.Context(), db); err != nil {
				t.Error(err)
			}
			idle(t, pool)
		})
	}
}

// Drivers may return rows before the server has said anything.
func TestAnIdempotentQueryIsRepeatedThatFailsBeforeItsFirstRow(t *testing.T) {
	var first sync.Once
	lazy := func(w *wire) driver.Conn { return lazyConn{w} }
	pool := newPool(t, config(lazy), watcher(serve(t, once(&first)), serve(t, once(&first))))
	if got, err := ask(t.Context(), openDB(t, pool, sqlpool.Idempotent()), "read"); err != nil || got != "read" {
		t.Errorf("got %q, %v", got, err)
	}
}

// lazyConn returns rows without waiting.
type lazyConn struct{ *wire }

func (c lazyConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if _, err := fmt.Fprintf(c.nc, "%s\n", text("query", query, args)); err != nil {
		return nil, err
	}
	return &lineRows{w: c.wire, ctx: ctx}, nil
}

func TestAnIdempotentQueryOfOneRowIsRepeatedThatFailsBehindIt(t *testing.T) {
	var first sync.Once
	cut := func(line string) string {
		reply := ""
		first.Do(func() { reply = "row half\nerr 57P01 the server shuts down\n" + hangUp })
		return reply
	}
	db, _ := newDB(t, []*server{serve(t, cut), serve(t, cut)}, sqlpool.Idempotent())
	if got, err := ask(t.Context(), db, "read"); err != nil || got != "read" {
		t.Errorf("got %q, %v", got, err)
	}
}

// PostgreSQL writes that it shuts down to each connection, idle ones too: the next
// statements read it, as many as there are connections.
func TestAServerThatSaysGoodbyeLosesAllItsConnections(t *testing.T) {
	var leaves atomic.Bool
	s := serve(t, func(line string) string {
		if leaves.Load() && line == "query read" {
			return "err 57P01 terminating connection due to administrator command\n" + hangUp
		}
		return ""
	})
	db, pool := newDB(t, []*server{s})
	var held []*sql.Conn
	for range 10 {
		c, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	for _, c := range held {
		_ = c.Close()
	}
	leaves.Store(true)
	_, err := ask(t.Context(), db, "read")
	var state *sqlError
	if !errors.As(err, &state) {
		t.Errorf("got %v", err)
	}
	prototest.Until(t, "its idle connections are closed", func() bool { return pool.Stats().Endpoints[0].Closed == 10 })
}

func TestRowsThatBreakOffEndTheConnectionAndAreNotRepeated(t *testing.T) {
	s := serve(t, func(line string) string {
		if strings.HasPrefix(line, "query") {
			return "row one\nrow two\nrow three\n" + hangUp
		}
		return ""
	})
	db, pool := newDB(t, []*server{s}, sqlpool.Idempotent())
	rows, err := db.QueryContext(t.Context(), "many")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for rows.Next() {
		var row string
		if err := rows.Scan(&row); err != nil {
			t.Fatal(err)
		}
		got = append(got, row)
	}
	if err := rows.Err(); !errors.As(err, new(*sqlpool.Error)) || !slices.Equal(got, []string{"one", "two", "three"}) {
		t.Errorf("rows %q, error %v", got, err)
	}
	_ = rows.Close()
	idle(t, pool)
	prototest.Until(t, "the connection is closed", func() bool { return pool.Stats().Endpoints[0].Open == 0 })
	if n := len(s.asked("query")); n != 1 {
		t.Errorf("the query was sent %d times", n)
	}
}

// The server restarts while connections are idle, many of them, and nobody notices.
func TestConnectionsThatEndedWhileIdleCostNoStatement(t *testing.T) {
	for name, shape := range map[string]func(*wire) driver.Conn{
		"the driver looks before use": nil,
		"the driver says so in use":   func(w *wire) driver.Conn { return blindConn{w} },
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var conns []net.Conn
			s := new(server)
			speak := s.speak(nil)
			s.addr = prototest.Listen(t, func(nc net.Conn) {
				mu.Lock()
				conns = append(conns, nc)
				mu.Unlock()
				speak(nc)
			})
			pool := newPool(t, config(shape), watcher(s), core.ValidateAfterIdle(-1))
			db := openDB(t, pool)
			const many = 10
			var held []*sql.Conn
			for range many {
				c, err := db.Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				held = append(held, c)
			}
			for _, c := range held {
				if _, err := c.ExecContext(t.Context(), "x"); err != nil {
					t.Fatal(err)
				}
				_ = c.Close()
			}
			mu.Lock()
			for _, nc := range conns {
				prototest.Reset(nc)
			}
			mu.Unlock()
			for range many {
				if _, err := db.ExecContext(t.Context(), "write"); err != nil {
					t.Fatal(err)
				}
			}
			if n := len(s.asked("exec write")); n != many {
				t.Errorf("%d writes", n)
			}
			if st := pool.Stats().Endpoints[0]; st.Ejected {
				t.Error("the server was ejected for its restart")
			}
		})
	}
}

// blindConn does not look at the socket before it is used again, and reports what
// ended before a statement as database/sql asks for.
type blindConn struct{ *wire }

func (blindConn) ResetSession(context.Context) error { return nil }

func (c blindConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if c.sock.Peek() != nil {
		c.bad = true
		return nil, driver.ErrBadConn
	}
	return c.wire.ExecContext(ctx, query, args)
}

func TestAConnectionThatThePoolClosesEndsItsStatement(t *testing.T) {
	silent := make(chan struct{}, 2)
	hang := func(line string) string {
		if line == "query forever" {
			silent <- struct{}{}
			<-t.Context().Done()
		}
		return ""
	}
	gone, stays := serve(t, hang), serve(t, nil)
	list := static.NewList(core.Endpoint{Addr: gone.addr})
	pool := newPool(t, config(nil), list, core.DrainTimeout(0))
	db := openDB(t, pool)
	failed := make(chan error)
	go func() {
		_, err := ask(t.Context(), db, "forever")
		failed <- err
	}()
	<-silent
	if err := list.Set(core.Endpoint{Addr: stays.addr}); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; !errors.As(err, new(*sqlpool.Error)) || !strings.Contains(err.Error(), "the pool has closed the connection") {
		t.Errorf("got %v", err)
	}
	if got, err := ask(t.Context(), db, "hello"); err != nil || got != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestACanceledQueryIsNoFaultOfTheServer(t *testing.T) {
	asked := make(chan struct{}, 1)
	s := serve(t, func(line string) string {
		if line == "query forever" {
			asked <- struct{}{}
			<-t.Context().Done()
		}
		return ""
	})
	var seen []balance.Outcome
	db, pool := newDB(t, []*server{s}, sqlpool.WithClassifier(func(_ error, o balance.Outcome) balance.Outcome {
		seen = append(seen, o)
		return o
	}))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if _, err := ask(ctx, db, "forever"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	prototest.Until(t, "the lease has ended", func() bool { return pool.Stats().Endpoints[0].InUse == 0 })
	if !slices.Equal(seen, []balance.Outcome{balance.OutcomeCanceled}) {
		t.Errorf("outcomes %v", seen)
	}
}

func TestRouteChoosesTheServer(t *testing.T) {
	one, two := serve(t, nil), serve(t, nil)
	type key struct{}
	db, _ := newDB(t, []*server{one, two}, sqlpool.WithRoute(func(ctx context.Context) []core.CallOption {
		return []core.CallOption{core.WithEndpoint(ctx.Value(key{}).(string))}
	}))
	for range 10 {
		if _, err := ask(context.WithValue(t.Context(), key{}, two.addr), db, "x"); err != nil {
			t.Fatal(err)
		}
	}
	if len(one.asked("query")) != 0 || len(two.asked("query")) != 10 {
		t.Error("the route was not taken")
	}
}

func TestRawShowsTheConnectionOfTheDriver(t *testing.T) {
	db, pool := newDB(t, []*server{serve(t, nil)})
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := sqlpool.Raw(conn, func(dc any) error {
		if _, ok := dc.(*wire); !ok {
			t.Errorf("got a %T", dc)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if err := sqlpool.Raw(conn, func(any) error { return driver.ErrBadConn }); !errors.Is(err, driver.ErrBadConn) {
		t.Error(err)
	}
	idle(t, pool)
	prototest.Until(t, "the connection is closed", func() bool { return pool.Stats().Endpoints[0].Open == 0 })
	_ = conn.Close()

	other := sql.OpenDB(lineConnector{addr: serve(t, nil).addr})
	defer func() { _ = other.Close() }()
	foreign, err := other.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := sqlpool.Raw(foreign, func(any) error { return nil }); err == nil || !strings.Contains(err.Error(), "OpenDB") {
		t.Errorf("another database: %v", err)
	}
	_ = foreign.Close()
}

func TestADriverThatPanicsLosesItsConnection(t *testing.T) {
	pool := newPool(t, config(func(w *wire) driver.Conn { return panicking{w} }), watcher(serve(t, nil)))
	db := openDB(t, pool)
	func() {
		defer func() { _ = recover() }()
		_, _ = db.ExecContext(t.Context(), "x")
		t.Error("the panic was lost")
	}()
	idle(t, pool)
	prototest.Until(t, "the connection is closed", func() bool { return pool.Stats().Endpoints[0].Open == 0 })
}

type panicking struct{ *wire }

func (panicking) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	panic("mine")
}

func TestMistakesAreNamed(t *testing.T) {
	if _, err := core.New(static.Watcher("h:1"), sqlpool.Dial(sqlpool.Config{})); err == nil || !strings.Contains(err.Error(), "Connector is nil") {
		t.Errorf("no Connector: %v", err)
	}
	pool := newPool(t, sqlpool.Config{Connector: sqlpool.DSN(lines{}, func(string) string { return "nonsense" })}, static.Watcher("h:1"))
	db := openDB(t, pool)
	if _, err := ask(t.Context(), db, "x"); !errors.Is(err, core.ErrUnavailable) || !strings.Contains(err.Error(), `sqlpool: connector to h:1: "nonsense" is no address`) {
		t.Errorf("a bad name: %v", err)
	}
	if _, err := db.Driver().Open("x"); err == nil || !strings.Contains(err.Error(), "sqlpool.OpenDB") {
		t.Errorf("open by name: %v", err)
	}
}

func TestNoServerHarmsAClient(t *testing.T) {
	protocoltest.Run(t, func(*testing.T) protocoltest.Fixture {
		return protocoltest.Fixture{
			Client: func(addrs ...string) (*protocoltest.Client, error) {
				pool, err := core.New(static.Watcher(addrs...), sqlpool.Dial(config(nil)), core.ValidateAfterIdle(-1))
				if err != nil {
					return nil, err
				}
				db := sqlpool.OpenDB(pool, sqlpool.Idempotent())
				return &protocoltest.Client{
					Call: func(ctx context.Context, text string) (string, error) { return ask(ctx, db, text) },
					Close: func(ctx context.Context) error {
						return errors.Join(db.Close(), pool.Close(ctx))
					},
				}, nil
			},
			Read: func(r *bufio.Reader) (protocoltest.Request, error) {
				line, err := r.ReadString('\n')
				text := strings.TrimPrefix(strings.TrimSpace(line), "query ")
				return protocoltest.Request{Text: text, Answer: []byte("row " + text + "\nend\n")}, err
			},
			Floods: []protocoltest.Flood{{
				Name:   "rows without an end",
				Begin:  func(q protocoltest.Request) []byte { return []byte("row " + q.Text + "\n") },
				Repeat: []byte("row again\n"),
			}, {
				Name:   "a row without an end",
				Begin:  func(q protocoltest.Request) []byte { return []byte("row " + q.Text) },
				Repeat: []byte("x"),
			}},
		}
	})
}
