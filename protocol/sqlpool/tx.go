package sqlpool

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
)

// BeginTx implements [driver.ConnBeginTx]. Nothing is executed, so it may be
// repeated.
func (s *session) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	t := &tx{s: s, ctx: ctx}
	stop, err := s.run(ctx, call{name: "begin", repeatable: true}, func(ctx context.Context) (err error) {
		t.raw, err = s.begin(ctx, opts)
		return err
	})
	if err != nil {
		return nil, err
	}
	t.stop = stop
	s.inTx = true
	return t, nil
}

// Begin implements [driver.Conn]; database/sql does not call it.
func (s *session) Begin() (driver.Tx, error) {
	return s.BeginTx(context.Background(), driver.TxOptions{})
}

func (s *session) begin(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if b, ok := s.conn.raw.(driver.ConnBeginTx); ok {
		return b.BeginTx(ctx, opts)
	}
	switch {
	case opts.Isolation != driver.IsolationLevel(sql.LevelDefault):
		return nil, errors.New("sqlpool: the driver does not support non-default isolation levels")
	case opts.ReadOnly:
		return nil, errors.New("sqlpool: the driver does not support read-only transactions")
	}
	raw, err := s.conn.raw.Begin() //nolint:staticcheck // drivers have it
	if err == nil && ctx.Err() != nil {
		_ = raw.Rollback()
		return nil, ctx.Err()
	}
	return raw, err
}

// tx is a transaction. It is never repeated: nobody knows whether a commit was
// executed whose answer is lost.
type tx struct {
	s    *session
	ctx  context.Context //nolint:containedctx // drivers watch it until the transaction ends
	raw  driver.Tx
	stop func()
}

func (t *tx) Commit() error { return t.end("commit", t.raw.Commit) }

func (t *tx) Rollback() error {
	err := t.end("rollback", t.raw.Rollback)
	if t.ctx.Err() != nil && !t.s.resets() && t.s.broken == nil {
		t.s.broken = errRolledBack
	}
	return err
}

func (t *tx) end(name string, f func() error) error {
	defer func() {
		t.s.inTx = false
		t.stop()
	}()
	stop, err := t.s.run(t.ctx, call{name: name}, func(context.Context) error { return f() })
	stop()
	return err
}

// resets reports whether the driver can clear what a canceled query has left.
// Without that, database/sql closes the connection of a transaction whose context
// has ended.
func (s *session) resets() bool {
	_, resets := s.conn.raw.(driver.SessionResetter)
	_, validates := s.conn.raw.(driver.Validator)
	return resets && validates
}
