package sqlpool_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
	"github.com/minicaptain/multi_connection_pool/protocol/sqlpool"
	"github.com/minicaptain/multi_connection_pool/retry"
)

// sameServer sends all sessions to one server, as long as nothing speaks against it.
func sameServer() sqlpool.Option {
	return sqlpool.WithRoute(func(context.Context) []core.CallOption {
		return []core.CallOption{core.WithKey("same")}
	})
}

// firstFails serves two servers. The one that is first asked what begins with word
// hangs up each time it is asked that.
func firstFails(tb testing.TB, word string) []*server {
	tb.Helper()
	var mu sync.Mutex
	first := -1
	answer := func(i int) func(string) string {
		return func(line string) string {
			mu.Lock()
			defer mu.Unlock()
			if !strings.HasPrefix(line, word) {
				return ""
			}
			if first < 0 {
				first = i
			}
			if first == i {
				return hangUp
			}
			return ""
		}
	}
	return []*server{serve(tb, answer(0)), serve(tb, answer(1))}
}

func TestWhatFailedIsRepeatedOnAnotherServer(t *testing.T) {
	const many = 10
	for name, c := range map[string]struct {
		word string
		do   func(ctx context.Context, db *sql.DB) error
	}{
		"query": {"query", func(ctx context.Context, db *sql.DB) error {
			got, err := ask(ctx, db, "read")
			if err == nil && got != "read" {
				err = fmt.Errorf("got %q", got)
			}
			return err
		}},
		"exec": {"exec", func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, "read")
			return err
		}},
		"prepare": {"prepare", func(ctx context.Context, db *sql.DB) error {
			st, err := db.PrepareContext(ctx, "read")
			if err != nil {
				return err
			}
			return st.Close()
		}},
		"a prepared statement": {"exec", func(ctx context.Context, db *sql.DB) error {
			st, err := db.PrepareContext(ctx, "read")
			if err != nil {
				return err
			}
			_, err = st.ExecContext(ctx)
			return errors.Join(err, st.Close())
		}},
		"begin": {"begin", func(ctx context.Context, db *sql.DB) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			return tx.Rollback()
		}},
		"ping": {"ping", func(ctx context.Context, db *sql.DB) error { return db.PingContext(ctx) }},
	} {
		t.Run(name, func(t *testing.T) {
			servers := firstFails(t, c.word)
			pool := newPool(t, config(nil), watcher(servers...), core.WithoutOutlierDetection(), core.ValidateAfterIdle(-1))
			pool.Measure()
			db := openDB(t, pool, sqlpool.Idempotent(), sameServer())
			for range many {
				before := [2]int{len(servers[0].asked(c.word)), len(servers[1].asked(c.word))}
				if err := c.do(t.Context(), db); err != nil {
					t.Fatal(err)
				}
				for i, s := range servers {
					if n := len(s.asked(c.word)) - before[i]; n > 1 {
						t.Errorf("a server was asked %d times", n)
					}
				}
			}
			idle(t, pool)
			if n := pool.Stats().Metrics.Calls.Retries; n != many {
				t.Errorf("%d repeats were counted, want %d", n, many)
			}
		})
	}
}

func TestARepeatGoesToTheSameServerIfThereIsNoOther(t *testing.T) {
	var first sync.Once
	s := serve(t, once(&first))
	db, pool := newDB(t, []*server{s}, sqlpool.Idempotent())
	if got, err := ask(t.Context(), db, "read"); err != nil || got != "read" {
		t.Errorf("got %q, %v", got, err)
	}
	if n := len(s.asked("query")); n != 2 {
		t.Errorf("it was asked %d times", n)
	}
	idle(t, pool)
}

func TestServersThatHaveAllFailedAreNotAskedAgain(t *testing.T) {
	fail := func(line string) string {
		if strings.HasPrefix(line, "query") {
			return hangUp
		}
		return ""
	}
	one, two := serve(t, fail), serve(t, fail)
	pool := newPool(t, config(nil), watcher(one, two), core.WithoutOutlierDetection())
	db := openDB(t, pool, sqlpool.Idempotent())
	if _, err := ask(t.Context(), db, "read"); !errors.As(err, new(*sqlpool.Error)) {
		t.Errorf("got %v", err)
	}
	if a, b := len(one.asked("query")), len(two.asked("query")); a != 1 || b != 1 {
		t.Errorf("they were asked %d and %d times", a, b)
	}
	idle(t, pool)
}

// A connection that was idle may have broken without a fault of its server.
func TestServersWhoseOldConnectionsBreakAreAskedAgain(t *testing.T) {
	var first, second sync.Once
	pool := newPool(t, config(nil), watcher(serve(t, once(&first)), serve(t, once(&second))), core.ValidateAfterIdle(-1))
	db := openDB(t, pool, sqlpool.Idempotent())
	var held []*sql.Conn
	for len(dials(pool)) < 2 || dials(pool)[0] == 0 {
		c, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	for _, c := range held {
		_ = c.Close()
	}
	if got, err := ask(t.Context(), db, "read"); err != nil || got != "read" {
		t.Errorf("got %q, %v", got, err)
	}
}

// badConn says at each statement that the server has not seen it.
type badConn struct {
	*wire
	asked *int
}

func (c badConn) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	*c.asked++
	return nil, driver.ErrBadConn
}

// database/sql would make three attempts of each.
func TestNothingIsRepeatedMoreThanTwice(t *testing.T) {
	asked := 0
	pool := newPool(t, config(func(w *wire) driver.Conn { return badConn{w, &asked} }), watcher(serve(t, nil), serve(t, nil)))
	_, err := openDB(t, pool).ExecContext(t.Context(), "x")
	var e *sqlpool.Error
	if !errors.As(err, &e) || errors.Is(err, driver.ErrBadConn) || !strings.Contains(err.Error(), e.Endpoint) {
		t.Errorf("got %v", err)
	}
	if asked != 3 {
		t.Errorf("%d attempts", asked)
	}
	idle(t, pool)
}

// What a connection has of the statements before, another one has not.
func TestOnlyTheFirstStatementOfAConnIsRepeated(t *testing.T) {
	for name, first := range map[string]func(*sql.Conn) error{
		"nothing":   func(*sql.Conn) error { return nil },
		"a ping":    func(c *sql.Conn) error { return c.PingContext(t.Context()) },
		"exec":      func(c *sql.Conn) error { _, err := c.ExecContext(t.Context(), "SET x"); return err },
		"wrong SQL": func(c *sql.Conn) error { _, _ = c.ExecContext(t.Context(), "wrong"); return nil },
		"raw":       func(c *sql.Conn) error { return sqlpool.Raw(c, func(any) error { return nil }) },
	} {
		t.Run(name, func(t *testing.T) {
			db, pool := newDB(t, firstFails(t, "query"), sqlpool.Idempotent())
			conn, err := db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := first(conn); err != nil {
				t.Fatal(err)
			}
			var got string
			err = conn.QueryRowContext(t.Context(), "x").Scan(&got)
			if may := name == "nothing" || name == "a ping"; may != (err == nil) {
				t.Errorf("behind %s: %v", name, err)
			}
			_ = conn.Close()
			idle(t, pool)
		})
	}
}

func TestStatementsOfAConnFollowIt(t *testing.T) {
	servers := firstFails(t, "exec a")
	db, pool := newDB(t, servers, sqlpool.Idempotent())
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var both []*sql.Stmt
	for _, query := range []string{"a", "b"} {
		st, err := conn.PrepareContext(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, st)
	}
	for _, st := range both {
		if _, err := st.ExecContext(t.Context()); err != nil {
			t.Error(err)
		}
	}
	for _, st := range both {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if got := slices.Concat(servers[0].asked("exec b"), servers[1].asked("exec b")); len(got) != 1 {
		t.Errorf("executed %q", got)
	}
	idle(t, pool)
}

// What database/sql has seen of the connection that failed decides what it calls.
func TestNothingIsRepeatedOnAConnectionOfAnotherType(t *testing.T) {
	servers := firstFails(t, "query")
	conf := sqlpool.Config{Connector: func(e core.Endpoint) (driver.Connector, error) {
		if e.Addr == servers[0].addr {
			return lineConnector{addr: e.Addr}, nil
		}
		return lineConnector{lines{func(w *wire) driver.Conn { return lazyConn{w} }}, e.Addr}, nil
	}}
	pool := newPool(t, conf, watcher(servers...))
	db := openDB(t, pool, sqlpool.Idempotent())
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got string
	if err := conn.QueryRowContext(t.Context(), "x").Scan(&got); !errors.As(err, new(*sqlpool.Error)) {
		t.Errorf("got %v", err)
	}
	idle(t, pool)
	if err := conn.QueryRowContext(t.Context(), "x").Scan(&got); !errors.Is(err, driver.ErrBadConn) {
		t.Errorf("behind it: %v", err)
	}
	_ = conn.Close()
	if n := len(servers[0].asked("query")) + len(servers[1].asked("query")); n != 1 {
		t.Errorf("it was sent %d times", n)
	}
}

func TestAConnWithoutAServerSaysSo(t *testing.T) {
	var down sync.Once
	gone := make(chan struct{})
	s := serve(t, func(line string) string {
		if !strings.HasPrefix(line, "query") {
			return ""
		}
		down.Do(func() { close(gone) })
		return hangUp
	})
	conf := sqlpool.Config{Connector: func(e core.Endpoint) (driver.Connector, error) {
		select {
		case <-gone:
			return nil, errors.New("no way")
		default:
			return lineConnector{addr: e.Addr}, nil
		}
	}}
	pool := newPool(t, conf, watcher(s))
	db := openDB(t, pool, sqlpool.Idempotent())
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got string
	err = conn.QueryRowContext(t.Context(), "x").Scan(&got)
	if !errors.Is(err, core.ErrUnavailable) || !errors.As(err, new(*sqlpool.Error)) {
		t.Errorf("got %v", err)
	}
	if _, err := conn.ExecContext(t.Context(), "x"); !errors.Is(err, driver.ErrBadConn) {
		t.Errorf("behind it: %v", err)
	}
	_ = conn.Close()
	idle(t, pool)
}

// attempts is an observer.
type attempts struct{ seen []string }

func (*attempts) Begin(ctx context.Context, _ retry.Info) context.Context { return ctx }

func (a *attempts) End(_ context.Context, i retry.Info) {
	a.seen = append(a.seen, fmt.Sprint(i.Name, " ", i.Number, " ", i.Err == nil))
}

func TestObserversSeeEachAttempt(t *testing.T) {
	db, _ := newDB(t, firstFails(t, "query"), sqlpool.Idempotent())
	var log attempts
	if _, err := ask(retry.WithObserver(t.Context(), &log), db, "x"); err != nil {
		t.Fatal(err)
	}
	if want := []string{"query 1 false", "query 2 true"}; !slices.Equal(log.seen, want) {
		t.Errorf("saw %q, want %q", log.seen, want)
	}
}

// mysqlLike has an error of its own for a connection that broke, as
// go-sql-driver/mysql does.
type mysqlLike struct{ *wire }

var errInvalidConn = errors.New("invalid connection")

func (c mysqlLike) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.wire.QueryContext(ctx, query, args)
	if err != nil && c.bad {
		err = errInvalidConn
	}
	return rows, err
}

func TestAConnectionThatIsNoLongerValidHasFailed(t *testing.T) {
	servers := firstFails(t, "query")
	pool := newPool(t, config(func(w *wire) driver.Conn { return mysqlLike{w} }), watcher(servers...), core.WithoutOutlierDetection())
	pool.Measure()
	if _, err := ask(t.Context(), openDB(t, pool), "x"); !errors.As(err, new(*sqlpool.Error)) || !errors.Is(err, errInvalidConn) {
		t.Errorf("got %v", err)
	}
	if got, err := ask(t.Context(), openDB(t, pool, sqlpool.Idempotent(), sameServer()), "x"); err != nil || got != "x" {
		t.Errorf("idempotent: got %q, %v", got, err)
	}
	if c := pool.Stats().Metrics.Calls; c.Failed == 0 || c.Neutral != 0 {
		t.Errorf("counted %+v", c)
	}
	idle(t, pool)
}

// deadline is a context whose deadline passes when end is called, for those derived
// from it first, in their order.
type deadline struct {
	context.Context

	done chan struct{}

	mu      sync.Mutex
	passed  bool
	derived []func()
}

func newDeadline(ctx context.Context) *deadline {
	return &deadline{Context: ctx, done: make(chan struct{})}
}

func (d *deadline) end() {
	d.mu.Lock()
	again, derived := d.passed, d.derived
	d.passed = true
	d.mu.Unlock()
	if again {
		return
	}
	for _, f := range derived {
		f()
	}
	close(d.done)
}

func (d *deadline) Done() <-chan struct{} { return d.done }

func (d *deadline) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.passed {
		return context.DeadlineExceeded
	}
	return nil
}

// AfterFunc is what package context looks for.
func (d *deadline) AfterFunc(f func()) func() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.passed {
		go f()
		return func() bool { return false }
	}
	live := true
	d.derived = append(d.derived, func() {
		d.mu.Lock()
		run := live
		live = false
		d.mu.Unlock()
		if run {
			f()
		}
	})
	return func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		was := live
		live = false
		return was
	}
}

// pgxLike ends a transaction with the context that it began with, as pgx does.
type pgxLike struct{ *wire }

func (c pgxLike) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	_, err := c.wire.BeginTx(ctx, opts)
	return pgxTx{c.wire}, err
}

type pgxTx struct{ w *wire }

func (t pgxTx) end(line string) error {
	err := t.w.do(t.w.tx, line)
	t.w.bad = t.w.bad || err != nil
	return err
}

func (t pgxTx) Commit() error   { return t.end("commit") }
func (t pgxTx) Rollback() error { return t.end("rollback") }

func TestAProgramThatIsLateDoesNotBlameTheServer(t *testing.T) {
	slow := func(line string) string {
		if line == "query many" {
			return "row one\nrow two\n" // and no end
		}
		return ""
	}
	begin := func(t *testing.T, ctx context.Context, db *sql.DB) {
		t.Helper()
		if _, err := db.BeginTx(ctx, nil); err != nil { //nolint:sqlclosecheck // it ends with its context
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		shape func(*wire) driver.Conn
		begin func(*testing.T, context.Context, *sql.DB)
	}{
		"in a transaction of pgx":    {func(w *wire) driver.Conn { return pgxLike{w} }, begin},
		"in a transaction of lib/pq": {nil, begin},
		"with a row": {nil, func(t *testing.T, ctx context.Context, db *sql.DB) {
			t.Helper()
			rows, err := db.QueryContext(ctx, "many")
			if err != nil || !rows.Next() || rows.Err() != nil {
				t.Fatal(err, rows.Err())
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			pool := newPool(t, config(c.shape), watcher(serve(t, slow)))
			pool.Measure()
			db := openDB(t, pool)
			ctx := newDeadline(t.Context())
			defer ctx.end()
			c.begin(t, ctx, db)
			ctx.end()
			prototest.Until(t, "the connection is closed", func() bool { return pool.Stats().Endpoints[0].Open == 0 })
			if calls := pool.Stats().Metrics.Calls; calls.Failed != 0 || calls.Neutral != 1 {
				t.Errorf("counted %+v", calls)
			}
			idle(t, pool)
		})
	}
}

// hasty is a driver whose caller does not wait for its answer, and that then says no
// more than that the connection is bad.
type hasty struct{ *wire }

type hurry struct{}

func rush(ctx context.Context, at string) error {
	if d, ok := ctx.Value(hurry{}).(func(string) bool); ok && d(at) {
		return driver.ErrBadConn
	}
	return nil
}

func (c hasty) ResetSession(ctx context.Context) error { return rush(ctx, "reset") }

func (c hasty) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := rush(ctx, "exec"); err != nil {
		return nil, err
	}
	return c.wire.ExecContext(ctx, query, args)
}

func TestACallerWithoutPatienceCostsOneConnection(t *testing.T) {
	const many = 10
	for _, at := range []string{"reset", "exec"} {
		t.Run(at, func(t *testing.T) {
			pool := newPool(t, config(func(w *wire) driver.Conn { return hasty{w} }), watcher(serve(t, nil)), core.ValidateAfterIdle(-1))
			db := openDB(t, pool)
			hold := func(n int) {
				t.Helper()
				var held []*sql.Conn
				for range n {
					c, err := db.Conn(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					held = append(held, c)
				}
				for _, c := range held {
					_ = c.Close()
				}
			}
			hold(many)
			var ctx *deadline
			ctx = newDeadline(context.WithValue(t.Context(), hurry{}, func(now string) bool {
				if now == at {
					ctx.end()
				}
				return now == at
			}))
			if _, err := db.ExecContext(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			prototest.Until(t, "the connection is closed", func() bool { return pool.Stats().Endpoints[0].Closed > 0 })
			hold(many - 1)
			if n := dials(pool)[0]; n != many {
				t.Errorf("%d dials: idle connections were closed, too", n)
			}
		})
	}
}
