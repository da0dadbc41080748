package sqlpool

import (
	"context"
	"database/sql/driver"
	"errors"
)

// asDriver returns the session as a connection that executes or queries without a
// prepared statement where the driver's does: database/sql prepares one where not,
// and converts the arguments in another way then, so ErrSkip is no substitute.
func (s *session) asDriver() driver.Conn {
	var execs, queries bool
	switch s.conn.raw.(type) {
	case driver.ExecerContext, driver.Execer: //nolint:staticcheck // drivers have it
		execs = true
	}
	switch s.conn.raw.(type) {
	case driver.QueryerContext, driver.Queryer: //nolint:staticcheck // drivers have it
		queries = true
	}
	switch {
	case execs && queries:
		return struct {
			*session
			execer
			queryer
		}{s, execer{s}, queryer{s}}
	case execs:
		return struct {
			*session
			execer
		}{s, execer{s}}
	case queries:
		return struct {
			*session
			queryer
		}{s, queryer{s}}
	default:
		return s
	}
}

// execer is [driver.ExecerContext] of a session whose driver has that, or Execer.
type execer struct{ of *session }

func (e execer) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (res driver.Result, err error) {
	s := e.of
	stop, err := s.run(ctx, call{name: "exec", repeatable: s.repeatable(ctx, query)}, func(ctx context.Context) (err error) {
		if x, ok := s.conn.raw.(driver.ExecerContext); ok {
			res, err = x.ExecContext(ctx, query, args)
			return err
		}
		values, err := unnamed(ctx, args)
		if err != nil {
			return err
		}
		res, err = s.conn.raw.(driver.Execer).Exec(query, values) //nolint:staticcheck,forcetypeassert // see asDriver
		return err
	})
	stop()
	return res, err
}

// queryer is [driver.QueryerContext] of a session whose driver has that, or Queryer.
type queryer struct{ of *session }

func (q queryer) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s := q.of
	return s.query(ctx, s.repeatable(ctx, query), func(ctx context.Context) (driver.Rows, error) {
		if x, ok := s.conn.raw.(driver.QueryerContext); ok {
			return x.QueryContext(ctx, query, args)
		}
		values, err := unnamed(ctx, args)
		if err != nil {
			return nil, err
		}
		return s.conn.raw.(driver.Queryer).Query(query, values) //nolint:staticcheck,forcetypeassert // see asDriver
	})
}

// query makes a query of a session or of a statement. One that may be repeated waits
// for its first rows: drivers may return before the server has said anything.
func (s *session) query(ctx context.Context, repeatable bool, op func(context.Context) (driver.Rows, error)) (driver.Rows, error) {
	r := &rows{s: s, ctx: ctx}
	stop, err := s.run(ctx, call{name: "query", repeatable: repeatable}, func(ctx context.Context) (err error) {
		r.ahead = nil // of the attempt before
		if r.raw, err = op(ctx); err != nil {
			return err
		}
		if repeatable {
			return r.fetch()
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	r.stop = stop
	return r, nil
}

// unnamed returns the arguments for a method without a context, which knows no names.
func unnamed(ctx context.Context, args []driver.NamedValue) ([]driver.Value, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	values := make([]driver.Value, len(args))
	for i, a := range args {
		if a.Name != "" {
			return nil, errors.New("sqlpool: the driver does not support named parameters")
		}
		values[i] = a.Value
	}
	return values, nil
}
