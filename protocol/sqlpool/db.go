package sqlpool

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

// OpenDB returns a database whose connections are those of pool: each query,
// transaction or [sql.Conn] leases one, and gives it back at its end. The database
// is safe for concurrent use. Closing it does not close the pool.
//
// The database keeps no idle connection by itself, or the pool would not see that it
// is idle. Leave [sql.DB.SetMaxIdleConns] as it is; options of core take the place of
// the database's settings:
//
//	SetMaxOpenConns      core.MaxActive, per server; core.MaxTotal
//	SetMaxIdleConns      core.MaxIdle, core.MinIdle, per server
//	SetConnMaxLifetime   core.MaxLifetime
//	SetConnMaxIdleTime   core.IdleTimeout
//	Stats                Pool.Stats
func OpenDB(pool *core.Pool[*Conn], opts ...Option) *sql.DB {
	c := &connector{pool: pool}
	for _, o := range opts {
		if o != nil {
			o(c)
		}
	}
	db := sql.OpenDB(c)
	db.SetMaxIdleConns(-1)
	return db
}

// Option sets one parameter of [OpenDB].
type Option func(*connector)

// Idempotent says that every statement of the database may be executed twice, as
// those of replicas may: one that failed because of its server is sent to another
// one, or to the same if no other is available, up to three times in all, within the
// pool's budget of repeated calls. A statement of a transaction never is, and neither
// is one behind the first of a [sql.Conn], or a query that fails behind its second
// row. The default is that nothing is repeated which the server may have executed.
func Idempotent() Option {
	return WithIdempotent(func(context.Context, string) bool { return true })
}

// WithIdempotent is [Idempotent] for the statements of which f returns true. f must
// be safe for concurrent use. The last of both options counts.
func WithIdempotent(f func(ctx context.Context, query string) bool) Option {
	return func(c *connector) { c.idempotent = f }
}

// WithRoute sets the options for the choice of each session's server, such as a
// [core.WithKey] from a value of the context. f must be safe for concurrent use.
func WithRoute(f func(ctx context.Context) []core.CallOption) Option {
	return func(c *connector) { c.route = f }
}

// WithClassifier lets f decide the outcome of each operation, by its error, which
// may be nil, and the outcome that [Classify] has for it, or OutcomeFailure if that is
// OutcomeNeutral and the driver no longer takes its connection for valid: drivers
// whose errors have no method SQLState need one that knows which of them are answers.
// f must be safe for concurrent use. [core.WithClassifier] is for calls that are made through the
// pool's Do.
func WithClassifier(f func(err error, outcome balance.Outcome) balance.Outcome) Option {
	return func(c *connector) { c.reclassify = f }
}

// connector gives database/sql a leased connection for a new one.
type connector struct {
	pool       *core.Pool[*Conn]
	idempotent func(ctx context.Context, query string) bool
	route      func(ctx context.Context) []core.CallOption
	reclassify func(err error, outcome balance.Outcome) balance.Outcome
}

const (
	// maxStale is how many connections in a row may turn out to have ended.
	maxStale = 16
	// maxAttempts is how often an operation is made.
	maxAttempts = 3
)

// Connect implements [driver.Connector].
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	s := &session{connector: c}
	if err := s.open(ctx, nil); err != nil {
		return nil, err
	}
	return s.asDriver(), nil
}

// Driver implements [driver.Connector].
func (c *connector) Driver() driver.Driver { return poolDriver{} }

// poolDriver is what [sql.DB.Driver] returns.
type poolDriver struct{}

// Open fails: a pool has no name.
func (poolDriver) Open(string) (driver.Conn, error) {
	return nil, errors.New("sqlpool: a pool has no data source name: make the database with sqlpool.OpenDB")
}

// Raw calls f with the driver's own connection, as [sql.Conn.Raw] does for a
// database without a pool; f must not keep it. The connection is closed if f panics
// or returns an error that matches [driver.ErrBadConn].
func Raw(conn *sql.Conn, f func(driverConn any) error) error {
	return conn.Raw(func(driverConn any) error {
		s, ok := driverConn.(interface{ leased() *session })
		if !ok {
			return errors.New("sqlpool: the connection is not one of a database of OpenDB")
		}
		return s.leased().raw(f)
	})
}
