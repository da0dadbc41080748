package sqlpool

import (
	"context"
	"database/sql/driver"
)

// Prepare implements [driver.Conn]; database/sql does not call it.
func (s *session) Prepare(query string) (driver.Stmt, error) {
	return s.PrepareContext(context.Background(), query)
}

// PrepareContext implements [driver.ConnPrepareContext]. Nothing is executed, so it
// may be repeated.
func (s *session) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	raw := s.conn.statements.take(query)
	if raw == nil {
		stop, err := s.run(ctx, call{name: "prepare", repeatable: true, passing: true}, func(ctx context.Context) (err error) {
			raw, err = s.prepare(ctx, query)
			return err
		})
		stop()
		if err != nil {
			return nil, err
		}
	}
	st := &stmt{s: s, query: query, raw: raw, on: s.conn}
	if c, ok := raw.(driver.ColumnConverter); ok { //nolint:staticcheck // drivers have it
		return convertingStmt{st, c}, nil
	}
	return st, nil
}

func (s *session) prepare(ctx context.Context, query string) (driver.Stmt, error) {
	if p, ok := s.conn.raw.(driver.ConnPrepareContext); ok {
		return p.PrepareContext(ctx, query)
	}
	raw, err := s.conn.raw.Prepare(query)
	if err == nil && ctx.Err() != nil {
		_ = raw.Close()
		return nil, ctx.Err()
	}
	return raw, err
}

// stmt is a prepared statement, which goes back to its connection when database/sql
// closes it.
type stmt struct {
	s      *session
	query  string
	raw    driver.Stmt
	on     *Conn // of raw
	failed bool  // it may be why: the next session prepares another one
}

// follow prepares the statement where its session has moved to.
func (st *stmt) follow(ctx context.Context) (err error) {
	if st.on == st.s.conn {
		return nil
	}
	raw := st.s.conn.statements.take(st.query)
	if raw == nil {
		if raw, err = st.s.prepare(ctx, st.query); err != nil {
			return err
		}
	}
	st.raw, st.on = raw, st.s.conn
	return nil
}

func (st *stmt) Close() error {
	if st.s.gone || st.on != st.s.conn {
		return nil // it ended with its connection
	}
	if st.s.broken != nil || st.failed {
		return st.s.guarded(st.raw.Close)
	}
	return st.s.guarded(func() error { return st.s.conn.statements.put(st.query, st.raw) })
}

// convertingStmt is a statement that converts by column. Others must not seem to:
// database/sql would not convert at all where the number of columns is unknown.
type convertingStmt struct {
	*stmt
	c driver.ColumnConverter //nolint:staticcheck // drivers have it
}

func (st convertingStmt) ColumnConverter(index int) driver.ValueConverter {
	return st.c.ColumnConverter(index)
}

func (st *stmt) NumInput() int { return st.raw.NumInput() }

// Exec implements [driver.Stmt]; database/sql does not call it.
func (st *stmt) Exec(args []driver.Value) (driver.Result, error) {
	return st.ExecContext(context.Background(), named(args))
}

// Query implements [driver.Stmt]; database/sql does not call it.
func (st *stmt) Query(args []driver.Value) (driver.Rows, error) {
	return st.QueryContext(context.Background(), named(args))
}

func (st *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (res driver.Result, err error) {
	stop, err := st.s.run(ctx, call{name: "exec", repeatable: st.s.repeatable(ctx, st.query)}, func(ctx context.Context) (err error) {
		if err := st.follow(ctx); err != nil {
			return err
		}
		if x, ok := st.raw.(driver.StmtExecContext); ok {
			res, err = x.ExecContext(ctx, args)
			return err
		}
		values, err := unnamed(ctx, args)
		if err != nil {
			return err
		}
		res, err = st.raw.Exec(values) //nolint:staticcheck // drivers have it
		return err
	})
	stop()
	st.failed = st.failed || err != nil
	return res, err
}

func (st *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	r, err := st.s.query(ctx, st.s.repeatable(ctx, st.query), func(ctx context.Context) (driver.Rows, error) {
		if err := st.follow(ctx); err != nil {
			return nil, err
		}
		if x, ok := st.raw.(driver.StmtQueryContext); ok {
			return x.QueryContext(ctx, args)
		}
		values, err := unnamed(ctx, args)
		if err != nil {
			return nil, err
		}
		return st.raw.Query(values) //nolint:staticcheck // drivers have it
	})
	st.failed = st.failed || err != nil
	return r, err
}

// CheckNamedValue implements [driver.NamedValueChecker] as database/sql looks for it:
// at the statement, and else at the connection.
func (st *stmt) CheckNamedValue(v *driver.NamedValue) error {
	if c, ok := st.raw.(driver.NamedValueChecker); ok {
		return c.CheckNamedValue(v)
	}
	return st.s.CheckNamedValue(v)
}

func named(args []driver.Value) []driver.NamedValue {
	values := make([]driver.NamedValue, len(args))
	for i, a := range args {
		values[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
	}
	return values
}
