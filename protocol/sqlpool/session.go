package sqlpool

import (
	"context"
	"database/sql/driver"
	"errors"
	"reflect"
	"slices"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/retry"
)

// session is one lease, as database/sql sees it: a connection that is opened,
// serves one query, transaction or [sql.Conn], and is closed. database/sql calls its
// methods, and those of its statements and rows, one at a time.
type session struct {
	connector *connector
	lease     core.Lease[*Conn]
	conn      *Conn

	reused   bool  // the connection served a session before
	answered bool  // the server answered on this connection in this session
	inTx     bool  // a transaction is open
	rooted   bool  // the connection may have what no other one has: the session stays
	broken   error // why the connection cannot serve another session
	gone     bool  // the lease has ended, and there is no other
}

// leased finds the session in what asDriver returns.
func (s *session) leased() *session { return s }

// open leases a connection of another server than those of without, if one is
// available.
func (s *session) open(ctx context.Context, without []string) error {
	var opts []core.CallOption
	if s.connector.route != nil {
		opts = slices.Clip(s.connector.route(ctx))
	}
	for _, addr := range without {
		opts = append(opts, core.WithoutEndpoint(addr))
	}
	for range maxStale {
		lease, err := s.connector.pool.Get(ctx, opts...)
		if err != nil {
			return err
		}
		s.lease, s.conn, s.reused = lease, lease.Conn(), lease.Conn().used
		s.answered, s.broken, s.gone = false, nil, false
		s.conn.used = true
		if !s.reused {
			return nil
		}
		err = s.ResetSession(ctx)
		if !errors.Is(err, driver.ErrBadConn) { // any other error database/sql ignores too
			return nil
		}
		s.leave(err)
	}
	return driver.ErrBadConn
}

// leave ends the lease before its session.
func (s *session) leave(why error) {
	_ = s.Close()
	s.broken, s.gone = why, true
}

// move takes the session to the connection for another attempt. It returns false if
// there is none, with the error of the call, or nil if that is the one before.
func (s *session) move(ctx context.Context, a retry.Attempt) (bool, error) {
	left := s.conn
	s.leave(a.Err)
	if err := s.open(ctx, a.Excluded); err != nil {
		return false, errors.Join(a.Err, err)
	}
	// database/sql has seen the interfaces of the connection left, and works by them.
	if reflect.TypeOf(s.conn.raw) != reflect.TypeOf(left.raw) || !a.Leased(s.conn.addr) {
		s.leave(a.Err)
		s.conn = left // the other one is not the session's
		return false, nil
	}
	return true, nil
}

// call is what run is to know of an operation.
type call struct {
	name       string // for observers
	repeatable bool   // it may be executed twice
	passing    bool   // it leaves nothing on the connection that the session cannot do without
}

// run lets the driver work. What stop frees, the rows or the transaction that the
// driver returned may need until they end; after an error there is nothing to stop.
//
// An operation that failed is repeated here: database/sql would ask for a connection
// without saying what for, and could be given one to the same server.
func (s *session) run(ctx context.Context, c call, op func(ctx context.Context) error) (stop func(), err error) {
	if s.gone {
		return func() {}, driver.ErrBadConn
	}
	moves := !s.inTx && !s.rooted
	plan := retry.Call{Attempts: 1, Name: c.name}
	if moves {
		plan.Attempts, plan.Repeatable = maxAttempts, c.repeatable
	}
	var skip error // it asks database/sql for something else: nothing has failed
	stop, err = retry.Run(ctx, s.connector.pool.Retrier(), plan, func(ctx context.Context, a retry.Attempt) (func(), retry.Result, error) {
		if a.Err == nil {
			a.Leased(s.conn.addr)
		} else if moved, err := s.move(ctx, a); !moved {
			return nil, retry.Result{Verdict: retry.VerdictNoServer}, err
		}
		stop, res, err := s.attempt(ctx, op)
		if skips(err) {
			skip, err = err, nil
		}
		if !moves && res.Verdict == retry.VerdictStale {
			res.Verdict = retry.VerdictUnsent
		}
		return stop, res, err
	})
	if err == nil {
		err = skip
	}
	s.rooted = s.rooted || !c.passing && skip == nil
	if err == nil {
		return stop, nil
	}
	if moves && errors.Is(err, driver.ErrBadConn) {
		err = settled{err}
	}
	return func() {}, err
}

// attempt lets the driver work once.
func (s *session) attempt(ctx context.Context, op func(ctx context.Context) error) (stop func(), res retry.Result, err error) {
	late := ctx.Err() != nil
	bound, stop := s.conn.bound(ctx)
	began := time.Now()
	err = s.guarded(func() error { return op(bound) })
	if res, err = s.ended(ctx, time.Since(began), err, late); err != nil {
		stop()
	}
	return stop, res, err
}

// skips reports whether the driver leaves the work to another of its methods. It
// compares as database/sql does.
func skips(err error) bool {
	return err == driver.ErrSkip || err == driver.ErrRemoveArgument //nolint:errorlint // see above
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
// what the caller is to see of its error. late means that the context had ended
// before the driver was asked: that is no fault of the server's.
func (s *session) ended(ctx context.Context, took time.Duration, err error, late bool) (retry.Result, error) {
	res := retry.Result{Endpoint: s.conn.addr}
	if skips(err) {
		return res, err
	}
	outcome := Classify(err)
	if outcome == balance.OutcomeNeutral && ctx.Err() == nil && s.broken == nil && !s.conn.valid() {
		outcome = balance.OutcomeFailure // go-sql-driver/mysql says so in no other way
	}
	if s.connector.reclassify != nil {
		outcome = s.connector.reclassify(err, outcome)
	}
	bad := errors.Is(err, driver.ErrBadConn)
	cut := err != nil && s.conn.life.Err() != nil
	fresh := s.reused && !s.answered
	stale := bad && fresh && !late
	late = late && outcome == balance.OutcomeFailure
	switch {
	case cut:
		err = errors.Join(errCut, err)
	case stale: // it may have ended long ago: the next dial shows how the server is
	default:
		switch {
		case outcome == balance.OutcomeFailure && errors.Is(ctx.Err(), context.Canceled):
			outcome = balance.OutcomeCanceled // a driver that does not say so
		case late:
			outcome = balance.OutcomeNeutral
		}
		s.lease.Report(balance.Report{Outcome: outcome, Latency: took})
	}
	s.answered = s.answered || outcome == balance.OutcomeOK || outcome == balance.OutcomeOverload
	failed := bad || cut || outcome == balance.OutcomeFailure
	switch {
	case stale && ctx.Err() == nil, failed && goodbye(err):
		s.broken = hungUp{err}
	case failed, late, outcome == balance.OutcomeCanceled && !s.survives():
		s.broken = err
	}
	res.Outcome = outcome
	switch {
	case !failed || err == nil:
		return res, err
	case late:
	case stale:
		res.Verdict = retry.VerdictStale
	case bad:
		res.Verdict = retry.VerdictUnsent
	case fresh:
		res.Verdict = retry.VerdictWorn
	default:
		res.Verdict = retry.VerdictFailed
	}
	return res, &Error{Endpoint: s.conn.addr, Err: err}
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
	case s.gone:
		return nil
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
	if _, ok := s.conn.raw.(driver.Pinger); !ok {
		return nil
	}
	stop, err := s.run(ctx, call{name: "ping", repeatable: true, passing: true}, func(ctx context.Context) error {
		return s.conn.raw.(driver.Pinger).Ping(ctx) //nolint:forcetypeassert // move keeps to the type
	})
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
	bound, stop := s.conn.bound(ctx)
	defer stop()
	err := s.guarded(func() error { return r.ResetSession(bound) })
	switch {
	case !errors.Is(err, driver.ErrBadConn):
	case ctx.Err() != nil: // pgx asks the server, and the caller has not waited
		s.broken = err
	default:
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
	if s.gone {
		return driver.ErrBadConn
	}
	s.rooted = true
	err := s.guarded(func() error { return f(s.conn.raw) })
	if errors.Is(err, driver.ErrBadConn) {
		s.broken = err
	}
	return err
}
