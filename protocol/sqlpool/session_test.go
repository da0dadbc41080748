package sqlpool_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
	"github.com/minicaptain/multi_connection_pool/protocol/sqlpool"
)

func TestATransactionHasOneConnectionToItself(t *testing.T) {
	one, two := serve(t, nil), serve(t, nil)
	db, pool := newDB(t, []*server{one, two})
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelSerializable, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := tx.ExecContext(t.Context(), fmt.Sprint("write ", i)); err != nil {
			t.Fatal(err)
		}
		if _, err := ask(t.Context(), db, "beside"); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	got := slices.Concat(one.asked("exec"), two.asked("exec"))
	if want := []string{"exec write 0", "exec write 1", "exec write 2"}; !slices.Equal(got, want) ||
		len(one.asked("exec")) != len(one.asked("commit"))*3 {
		t.Errorf("the servers were asked %q", got)
	}
	if got := slices.Concat(one.asked("begin"), two.asked("begin")); !slices.Equal(got, []string{"begin 6 true"}) {
		t.Errorf("begun with %q", got)
	}
	idle(t, pool)
}

func TestATransactionIsNotRepeated(t *testing.T) {
	for _, at := range []string{"exec", "query", "commit"} {
		t.Run(at, func(t *testing.T) {
			s := serve(t, func(line string) string {
				if strings.HasPrefix(line, at) {
					return hangUp
				}
				return ""
			})
			db, pool := newDB(t, []*server{s}, sqlpool.Idempotent())
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			switch at {
			case "exec":
				_, err = tx.ExecContext(t.Context(), "x")
			case "query":
				err = tx.QueryRowContext(t.Context(), "x").Scan(&got)
			case "commit":
				err = tx.Commit()
			}
			if !errors.As(err, new(*sqlpool.Error)) || errors.Is(err, driver.ErrBadConn) {
				t.Errorf("got %v", err)
			}
			_ = tx.Rollback()
			if n := len(s.asked(at)); n != 1 {
				t.Errorf("it was sent %d times", n)
			}
			idle(t, pool)
		})
	}
}

func TestABeginThatFailsIsRepeated(t *testing.T) {
	var begun atomic.Int32
	fail := func(line string) string {
		if strings.HasPrefix(line, "begin") && begun.Add(1) == 1 {
			return hangUp
		}
		return ""
	}
	db, _ := newDB(t, []*server{serve(t, fail), serve(t, fail)})
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Error(err)
	}
}

// The driver of the tests watches the context of a transaction until that ends, as
// lib/pq does.
func TestATransactionThatOutlivesItsBeginCommits(t *testing.T) {
	s := serve(t, nil)
	db, _ := newDB(t, []*server{s})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil || len(s.asked("commit")) != 1 {
		t.Errorf("%v, %q", err, s.asked(""))
	}
}

func TestATransactionEndsWithItsContext(t *testing.T) {
	for name, shape := range map[string]func(*wire) driver.Conn{"a driver that resets": nil, "a driver that does not": old} {
		t.Run(name, func(t *testing.T) {
			pool := newPool(t, config(shape), watcher(serve(t, nil)))
			db := openDB(t, pool)
			ctx, cancel := context.WithCancel(t.Context())
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				t.Fatal(err)
			}
			cancel()
			prototest.Until(t, "the connection is closed", func() bool { return pool.Stats().Endpoints[0].Open == 0 })
			if err := tx.Commit(); err == nil {
				t.Error("it could be committed")
			}
		})
	}
}

func TestAPreparedStatementStaysPreparedOnItsConnections(t *testing.T) {
	one, two := serve(t, nil), serve(t, nil)
	db, pool := newDB(t, []*server{one, two})
	st, err := db.PrepareContext(t.Context(), "insert")
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if _, err := st.ExecContext(t.Context(), 7); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
	for _, s := range []*server{one, two} {
		if n := len(s.asked("prepare")); n > 1 || len(s.asked("close")) != 0 {
			t.Errorf("prepared %d times: %q", n, s.asked(""))
		}
	}
	if n := len(one.asked("exec insert 7")) + len(two.asked("exec insert 7")); n != 50 {
		t.Errorf("executed %d times", n)
	}
	idle(t, pool)
}

func TestAConnectionKeepsSoManyStatements(t *testing.T) {
	for most, want := range map[int][]string{
		2:  {"prepare a", "prepare b", "prepare c", "close a", "prepare a", "close b"},
		-1: {"prepare a", "close a", "prepare b", "close b", "prepare b", "close b", "prepare c", "close c", "prepare a", "close a"},
	} {
		s := serve(t, nil)
		conf := config(nil)
		conf.MaxStatements = most
		db := openDB(t, newPool(t, conf, watcher(s), core.MaxActive(1)))
		for _, query := range []string{"a", "b", "b", "c", "a"} {
			st, err := db.PrepareContext(t.Context(), query)
			if err != nil {
				t.Fatal(err)
			}
			_ = st.Close()
		}
		if got := s.asked(""); !slices.Equal(got, want) {
			t.Errorf("MaxStatements %d: %q, want %q", most, got, want)
		}
	}
}

// It may have failed because it was prepared before the tables changed.
func TestAStatementThatFailsIsPreparedAgain(t *testing.T) {
	s := serve(t, func(line string) string {
		if strings.HasPrefix(line, "exec") {
			return "err 0A000 cached plan must not change result type\n"
		}
		return ""
	})
	db, _ := newDB(t, []*server{s})
	st, err := db.PrepareContext(t.Context(), "insert")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := st.ExecContext(t.Context()); err == nil {
			t.Fatal("no error")
		}
	}
	_ = st.Close()
	if p, c := len(s.asked("prepare")), len(s.asked("close")); p != 3 || c != 3 {
		t.Errorf("prepared %d times, closed %d times, want 3", p, c)
	}
}

func TestTwoStatementsOfOneQueryDoNotMeet(t *testing.T) {
	s := serve(t, nil)
	db, _ := newDB(t, []*server{s})
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var both []*sql.Stmt
	for range 2 {
		st, err := conn.PrepareContext(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, st)
	}
	for _, st := range both {
		if _, err := st.ExecContext(t.Context()); err != nil {
			t.Error(err)
		}
		_ = st.Close()
	}
	_ = conn.Close()
	if p, c := len(s.asked("prepare")), len(s.asked("close")); p != 2 || c != 1 {
		t.Errorf("prepared %d, closed %d", p, c)
	}
}

// What database/sql sees of a driver decides how it makes a statement and converts
// its arguments.
func TestADriverIsNotMadeToLookLikeAnother(t *testing.T) {
	type bare = driver.Conn
	for name, c := range map[string]struct {
		shape         func(*wire) driver.Conn
		execs, querys bool
	}{
		"all":  {nil, true, true},
		"none": {old, false, false},
		"execs": {func(w *wire) driver.Conn {
			return struct {
				bare
				driver.ExecerContext
			}{w, w}
		}, true, false},
		"queries": {func(w *wire) driver.Conn {
			return struct {
				bare
				driver.QueryerContext
			}{w, w}
		}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, nil)
			db := openDB(t, newPool(t, config(c.shape), watcher(s)))
			if _, err := db.ExecContext(t.Context(), "e", 1); err != nil {
				t.Error(err)
			}
			var got string
			if err := db.QueryRowContext(t.Context(), "q", 2).Scan(&got); err != nil || got != "q 2" {
				t.Errorf("got %q, %v", got, err)
			}
			if prepared := len(s.asked("prepare e")) > 0; prepared == c.execs {
				t.Errorf("exec prepared: %v", prepared)
			}
			if prepared := len(s.asked("prepare q")) > 0; prepared == c.querys {
				t.Errorf("query prepared: %v", prepared)
			}
		})
	}
}

func TestOldDriversRefuseWhatTheyDoNotKnow(t *testing.T) {
	pool := newPool(t, config(old), watcher(serve(t, nil)))
	db := openDB(t, pool)
	if _, err := db.ExecContext(t.Context(), "x", sql.Named("n", 1)); err == nil || !strings.Contains(err.Error(), "named parameters") {
		t.Errorf("named: %v", err)
	}
	for _, opts := range []sql.TxOptions{{ReadOnly: true}, {Isolation: sql.LevelSerializable}} {
		if _, err := db.BeginTx(t.Context(), &opts); err == nil || !strings.Contains(err.Error(), "does not support") {
			t.Errorf("%+v: %v", opts, err)
		}
	}
	if err := db.PingContext(t.Context()); err != nil {
		t.Errorf("ping: %v", err)
	}
	idle(t, pool)
}

type stringer struct{}

func (stringer) String() string { return "s" }

func TestArgumentsAreConvertedAsTheDriverWants(t *testing.T) {
	s := serve(t, nil)
	db, _ := newDB(t, []*server{s})
	if _, err := db.ExecContext(t.Context(), "x", stringer{}, int8(3)); err != nil {
		t.Fatal(err)
	}
	st, err := db.PrepareContext(t.Context(), "y")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.ExecContext(t.Context(), stringer{}); err != nil {
		t.Fatal(err)
	}
	_ = st.Close()
	if got, want := s.asked("exec"), []string{"exec x checked:s 3", "exec y checked:s"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A statement with a ColumnConverter converts by column.
func TestColumnConvertersAreUsed(t *testing.T) {
	s := serve(t, nil)
	shape := func(w *wire) driver.Conn { return columnConn{oldConn{w}} }
	db := openDB(t, newPool(t, config(shape), watcher(s)))
	if _, err := db.ExecContext(t.Context(), "x", stringer{}); err != nil {
		t.Fatal(err)
	}
	if got := s.asked("exec"); !slices.Equal(got, []string{"exec x column 0"}) {
		t.Errorf("got %q", got)
	}
}

type columnConn struct{ oldConn }

func (c columnConn) Prepare(query string) (driver.Stmt, error) {
	st, err := c.oldConn.Prepare(query)
	return columnStmt{st}, err
}

type columnStmt struct{ driver.Stmt }

func (columnStmt) NumInput() int                                   { return 1 }
func (columnStmt) ColumnConverter(index int) driver.ValueConverter { return column(index) }

type column int

func (c column) ConvertValue(any) (driver.Value, error) { return fmt.Sprint("column ", int(c)), nil }

func TestTypesOfColumnsAreThoseOfTheDriver(t *testing.T) {
	db, _ := newDB(t, []*server{serve(t, nil)}, sqlpool.Idempotent())
	rows, err := db.QueryContext(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	types, err := rows.ColumnTypes()
	if err != nil || len(types) != 1 || types[0].DatabaseTypeName() != "LINE" {
		t.Fatalf("got %v, %v", types, err)
	}
	if _, ok := types[0].Length(); ok || types[0].ScanType() == nil {
		t.Errorf("the driver has neither lengths nor types: %v", types[0])
	}
	if rows.NextResultSet() || rows.Err() != nil {
		t.Errorf("another result: %v", rows.Err())
	}
}

func TestAPingAsksTheServer(t *testing.T) {
	s := serve(t, nil)
	db, pool := newDB(t, []*server{s})
	if err := db.PingContext(t.Context()); err != nil || len(s.asked("ping")) != 1 {
		t.Errorf("%v, %q", err, s.asked(""))
	}
	idle(t, pool)
}
