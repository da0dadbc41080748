package sqlpool_test

import (
	"bufio"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/minicaptain/multi_connection_pool/protocol/internal/sock"
)

// The driver of the tests speaks lines: "query x", "exec x", "prepare x", "run x",
// "begin", "commit", "rollback", "ping". The answer is "ok", "err STATE text", or
// lines "row x" and an "end".

// sqlError is an error of the server, with an SQLSTATE.
type sqlError struct{ state, text string }

func (e *sqlError) Error() string    { return e.text }
func (e *sqlError) SQLState() string { return e.state }

// lines is a driver that knows contexts and has connectors. shape takes interfaces
// away.
type lines struct {
	shape func(*wire) driver.Conn
}

func (d lines) OpenConnector(addr string) (driver.Connector, error) {
	if !strings.Contains(addr, ":") {
		return nil, fmt.Errorf("%q is no address", addr)
	}
	return lineConnector{d, addr}, nil
}

func (d lines) Open(addr string) (driver.Conn, error) {
	return lineConnector{d, addr}.Connect(context.Background())
}

type lineConnector struct {
	lines
	addr string
}

func (c lineConnector) Driver() driver.Driver { return c.lines }

func (c lineConnector) Connect(ctx context.Context) (driver.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", c.addr)
	if err != nil {
		return nil, err
	}
	s, err := sock.Open(ctx, nc, nil)
	if err != nil {
		return nil, err
	}
	w := &wire{nc: nc, sock: s, r: bufio.NewReaderSize(nc, 4096)}
	if c.shape == nil {
		return w, nil
	}
	return c.shape(w), nil
}

// wire is a connection with all interfaces.
type wire struct {
	nc   net.Conn
	sock *sock.Socket
	r    *bufio.Reader
	bad  bool
	tx   context.Context
	busy bool // says the race detector who uses it at the same time
}

// past is a deadline that makes reads and writes return.
var past = time.Unix(1, 0)

// ask sends a line and returns the first line of the answer.
func (w *wire) ask(ctx context.Context, line string) (string, error) {
	w.busy = true
	defer func() { w.busy = false }()
	if w.bad {
		return "", driver.ErrBadConn
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	stop := context.AfterFunc(ctx, func() { _ = w.nc.SetDeadline(past) })
	defer stop()
	if _, err := fmt.Fprintf(w.nc, "%s\n", line); err != nil {
		return "", w.broke(ctx, err)
	}
	return w.line(ctx)
}

func (w *wire) line(ctx context.Context) (string, error) {
	b, err := w.r.ReadSlice('\n')
	if err != nil {
		return "", w.broke(ctx, err)
	}
	s := strings.TrimSuffix(string(b), "\n")
	if rest, ok := strings.CutPrefix(s, "err "); ok {
		state, text, _ := strings.Cut(rest, " ")
		return "", &sqlError{state, text}
	}
	return s, nil
}

func (w *wire) broke(ctx context.Context, err error) error {
	w.bad = true
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	if err == io.EOF { //nolint:errorlint // as bufio returns it
		return io.ErrUnexpectedEOF
	}
	return err
}

func (w *wire) do(ctx context.Context, line string) error {
	s, err := w.ask(ctx, line)
	if err == nil && s != "ok" {
		w.bad = true
		return fmt.Errorf("%w: %.20q is no answer", io.ErrUnexpectedEOF, s)
	}
	return err
}

func (w *wire) rows(ctx context.Context, line string) (driver.Rows, error) {
	s, err := w.ask(ctx, line)
	if err != nil {
		return nil, err
	}
	return &lineRows{w: w, ctx: ctx, next: s}, nil
}

func text(word, query string, args []driver.NamedValue) string {
	parts := []string{word, query}
	for _, a := range args {
		parts = append(parts, fmt.Sprint(a.Value))
	}
	return strings.Join(parts, " ")
}

func (w *wire) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return driver.RowsAffected(1), w.do(ctx, text("exec", query, args))
}

func (w *wire) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return w.rows(ctx, text("query", query, args))
}

func (w *wire) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	return &lineStmt{w, query}, w.do(ctx, "prepare "+query)
}

func (w *wire) Prepare(query string) (driver.Stmt, error) {
	return w.PrepareContext(context.Background(), query)
}

func (w *wire) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if err := w.do(ctx, fmt.Sprint("begin ", opts.Isolation, " ", opts.ReadOnly)); err != nil {
		return nil, err
	}
	w.tx = ctx
	return lineTx{w}, nil
}

func (w *wire) Begin() (driver.Tx, error) {
	return w.BeginTx(context.Background(), driver.TxOptions{})
}

func (w *wire) Ping(ctx context.Context) error { return w.do(ctx, "ping") }

// ResetSession looks at the socket.
func (w *wire) ResetSession(context.Context) error {
	if w.bad || w.r.Buffered() > 0 || w.sock.Peek() != nil {
		w.bad = true
		return driver.ErrBadConn
	}
	return nil
}

func (w *wire) IsValid() bool { return !w.bad }

func (w *wire) CheckNamedValue(v *driver.NamedValue) error {
	if s, ok := v.Value.(fmt.Stringer); ok {
		v.Value = "checked:" + s.String()
		return nil
	}
	return driver.ErrSkip
}

func (w *wire) Close() error {
	w.busy = true
	return w.nc.Close()
}

type lineTx struct{ w *wire }

func (t lineTx) end(line string) error {
	if t.w.tx.Err() != nil { // as lib/pq does
		t.w.bad = true
		return driver.ErrBadConn
	}
	return t.w.do(context.Background(), line)
}

func (t lineTx) Commit() error   { return t.end("commit") }
func (t lineTx) Rollback() error { return t.end("rollback") }

type lineStmt struct {
	w     *wire
	query string
}

func (s *lineStmt) Close() error  { return s.w.do(context.Background(), "close "+s.query) }
func (s *lineStmt) NumInput() int { return -1 }

func (s *lineStmt) Exec([]driver.Value) (driver.Result, error) {
	return nil, errors.New("not the method for contexts")
}

func (s *lineStmt) Query([]driver.Value) (driver.Rows, error) {
	return nil, errors.New("not the method for contexts")
}

func (s *lineStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return driver.RowsAffected(1), s.w.do(ctx, text("exec", s.query, args))
}

func (s *lineStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.w.rows(ctx, text("query", s.query, args))
}

// lineRows are rows of one column. The driver has one line of them ahead.
type lineRows struct {
	w    *wire
	ctx  context.Context
	next string
	done bool
}

func (r *lineRows) Columns() []string { return []string{"text"} }

func (r *lineRows) ColumnTypeDatabaseTypeName(int) string { return "LINE" }

func (r *lineRows) Next(dest []driver.Value) error {
	if r.done {
		return io.EOF
	}
	s := r.next
	r.next = ""
	if s == "" {
		stop := context.AfterFunc(r.ctx, func() { _ = r.w.nc.SetDeadline(past) })
		defer stop()
		var err error
		if s, err = r.w.line(r.ctx); err != nil {
			r.done = true
			return err
		}
	}
	row, isRow := strings.CutPrefix(s, "row ")
	r.done = !isRow
	switch {
	case isRow:
		dest[0] = row
		return nil
	case s == "end":
		return io.EOF
	default:
		r.w.bad = true
		return fmt.Errorf("%w: %.20q is no row", io.ErrUnexpectedEOF, s)
	}
}

// Close reads what is left.
func (r *lineRows) Close() error {
	for dest := make([]driver.Value, 1); ; {
		if err := r.Next(dest); err == io.EOF { //nolint:errorlint // as it was returned
			return nil
		} else if err != nil {
			return err
		}
	}
}

// old takes from a connection all that drivers had not in Go 1.0.
func old(w *wire) driver.Conn { return oldConn{w} }

type oldConn struct{ w *wire }

func (c oldConn) Prepare(query string) (driver.Stmt, error) {
	s, err := c.w.Prepare(query)
	return oldStmt{s.(*lineStmt)}, err //nolint:forcetypeassert // as made
}
func (c oldConn) Close() error { return c.w.Close() }

func (c oldConn) Begin() (driver.Tx, error) { return c.w.Begin() }

type oldStmt struct{ s *lineStmt }

func (s oldStmt) Close() error  { return s.s.Close() }
func (s oldStmt) NumInput() int { return -1 }

func (s oldStmt) Exec(args []driver.Value) (driver.Result, error) {
	return driver.RowsAffected(1), s.s.w.do(context.Background(), text("exec", s.s.query, numbered(args)))
}

func (s oldStmt) Query(args []driver.Value) (driver.Rows, error) {
	return s.s.w.rows(context.Background(), text("query", s.s.query, numbered(args)))
}

func numbered(args []driver.Value) (named []driver.NamedValue) {
	for _, a := range args {
		named = append(named, driver.NamedValue{Value: a})
	}
	return named
}
