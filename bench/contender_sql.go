package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"time"
)

// sqlPool is the pool of database/sql over a driver that does nothing.
type sqlPool struct{ db *sql.DB }

func openSQL(f *fleet, d demand) (contender, error) {
	db := sql.OpenDB(sqlConnector{f})
	db.SetMaxOpenConns(d.capacity())
	db.SetMaxIdleConns(d.capacity())
	if d.expiring {
		db.SetConnMaxLifetime(time.Hour)
		db.SetConnMaxIdleTime(5 * time.Minute)
	}
	return sqlPool{db}, nil
}

type sqlConnector struct{ fleet *fleet }

func (s sqlConnector) Connect(context.Context) (driver.Conn, error) {
	c := s.fleet.open()
	return sqlConn{c}, c.use()
}

func (s sqlConnector) Driver() driver.Driver { return nil }

type sqlConn struct{ *conn }

var errNoSQL = errors.New("this driver only opens and closes")

func (sqlConn) Prepare(string) (driver.Stmt, error) { return nil, errNoSQL }
func (sqlConn) Begin() (driver.Tx, error)           { return nil, errNoSQL }

// ResetSession is called on each lease except a connection's first, which follows Connect. The connection is used here,
// since sql.Conn.Raw would add to the cost of the lease.
func (c sqlConn) ResetSession(context.Context) error { return c.use() }

func (s sqlPool) cycle(ctx context.Context, n int) error {
	for range n {
		c, err := s.db.Conn(ctx)
		if err != nil {
			return err
		}
		if err := c.Close(); err != nil {
			return err
		}
	}
	return nil
}

func (s sqlPool) hold(ctx context.Context, during func()) error {
	c, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	during()
	return c.Close()
}

func (s sqlPool) close() error { return s.db.Close() }
