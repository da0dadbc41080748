package sqlpool

import (
	"context"
	"database/sql/driver"
	"errors"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

// session is one lease, as database/sql sees it: a connection that is opened,
// serves one query, transaction or [sql.Conn], and is closed. database/sql calls its
// methods, and those of its statements and rows, one at a time.
type session struct {
	connector *connector
	lease     core.Lease[*Conn]
	conn      *Conn

	reused   bool  // the connection served a session before
	answered bool  // the server answered in this session
	inTx     bool  // a transaction is open
	broken   error // why the connection cannot serve another session
}

// leased finds the session in what asDriver returns.
func (s *session) leased() *session { return s }

// run lets the driver work. What stop frees, the rows or the transaction that the
// driver returned may need until they end; after an error there is nothing to stop.
func (s *session) run(ctx context.Context, repeatable bool, op func(ctx context.Context) error) (stop func(), err error) {
	bound, stop := s.conn.bound(ctx)
	began := time.Now()
	err = s.guarded(func() error { return op(bound) })
	if err = s.ended(ctx, time.Since(began), err, repeatable); err != nil {
		stop()
		return func() {}, err
	}
	return stop, nil
}

// guarded keeps the pool from closing the connection meanwhile.
func (s *session) guarded(f func() error) error {
	s.conn.mu.Lock()
	panicked := true
	defer func() {
		s.conn.mu.Unlock()
		if panicked {
			s.broken = errPanic
		}
	}()
	err := f()
	panicked = false
	return err
}

// ended judges an operation, or a part of it whose time was not taken, and returns
// what database/sql is to see of its error.
func (s *session) ended(ctx context.Context, took time.Duration, err error, repeatable bool) error {
	if err == driver.ErrSkip || err == driver.ErrRemoveArgument { //nolint:errorlint // as database/sql compares them
		return err
	}
	outcome := Classify(err)
	if s.connector.reclassify != nil {
		outcome = s.connector.reclassify(err, outcome)
	}
	bad := errors.Is(err, driver.ErrBadConn)
	cut := err != nil && s.conn.life.Err() != nil
	stale := bad && s.reused && !s.answered
	switch {
	case cut:
		err = errors.Join(errCut, err)
	case stale: // it may have ended long ago: the next dial shows how the server is
	default:
		if outcome == balance.OutcomeFailure && errors.Is(ctx.Err(), context.Canceled) {
			outcome = balance.OutcomeCanceled // a driver that does not say so
		}
		s.lease.Report(balance.Report{Outcome: outcome, Latency: took})
	}
	s.answered = s.answered || outcome == balance.OutcomeOK || outcome == balance.OutcomeOverload
	failed := bad || cut || outcome == balance.OutcomeFailure
	switch {
	case stale, failed && goodbye(err):
		s.broken = hungUp{err}
	case failed, outcome == balance.OutcomeCanceled && !s.survives():
		s.broken = err
	}
	if !failed || err == nil {
		return err
	}
	again := !bad && repeatable && !s.inTx && s.connector.pool.Retrier().Allow(ctx)
	return &Error{Endpoint: s.conn.addr, Err: err, repeat: again}
}

// survives reports whether the driver knows that the connection is in order.
func (s *session) survives() bool {
	v, ok := s.conn.raw.(driver.Validator)
	return ok && v.IsValid()
}

// repeatable reports whether a statement may be executed twice.
func (s *session) repeatable(ctx context.Context, query string) bool {
	return s.connector.idempotent != nil && !s.inTx && s.connector.idempotent(ctx, query)
}

// Close ends the lease.
func (s *session) Close() error {
	switch {
	case s.broken != nil:
		return s.lease.Discard(s.broken)
	case !s.conn.valid():
		return s.lease.Discard(driver.ErrBadConn)
	default:
		return s.lease.Release()
	}
}

// Ping implements [driver.Pinger]. It does nothing if the driver does not.
func (s *session) Ping(ctx context.Context) error {
	p, ok := s.conn.raw.(driver.Pinger)
	if !ok {
		return nil
	}
	stop, err := s.run(ctx, true, p.Ping)
	stop()
	return err
}

// ResetSession implements [driver.SessionResetter]. It does nothing if the driver
// does not.
func (s *session) ResetSession(ctx context.Context) error {
	r, ok := s.conn.raw.(driver.SessionResetter)
	if !ok {
		return nil
	}
	ctx, stop := s.conn.bound(ctx)
	defer stop()
	err := s.guarded(func() error { return r.ResetSession(ctx) })
	if errors.Is(err, driver.ErrBadConn) {
		s.broken = hungUp{err}
	}
	return err
}

// IsValid implements [driver.Validator].
func (s *session) IsValid() bool { return s.broken == nil && s.conn.valid() }

// CheckNamedValue implements [driver.NamedValueChecker]. ErrSkip is as good as not
// implementing it.
func (s *session) CheckNamedValue(v *driver.NamedValue) error {
	if c, ok := s.conn.raw.(driver.NamedValueChecker); ok {
		return c.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

// raw is [Raw].
func (s *session) raw(f func(driverConn any) error) error {
	err := s.guarded(func() error { return f(s.conn.raw) })
	if errors.Is(err, driver.ErrBadConn) {
		s.broken = err
	}
	return err
}
