package sqlpool

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

// DefaultMaxStatements is the number if [Config.MaxStatements] is zero.
const DefaultMaxStatements = 64

// Config sets how connections are opened.
type Config struct {
	// Connector returns the driver's connector to one server: the same database,
	// user and settings for all of them, and the address of e. It is required, and
	// must be safe for concurrent use. [DSN] makes one of a data source name.
	Connector func(e core.Endpoint) (driver.Connector, error)

	// MaxStatements bounds the prepared statements that a connection keeps between
	// leases, so that a statement of [database/sql.DB.PrepareContext] is not prepared
	// again for each use. The least recently used is closed first. Zero means
	// [DefaultMaxStatements]; negative means none.
	MaxStatements int
}

// DSN returns a [Config.Connector] for a driver that is configured by a data source
// name. dsn returns the name for a server's address, "host:port".
//
//	sqlpool.DSN(stdlib.GetDefaultDriver(), func(addr string) string {
//		return "postgres://app@" + addr + "/orders?sslmode=verify-full"
//	})
func DSN(d driver.Driver, dsn func(addr string) string) func(core.Endpoint) (driver.Connector, error) {
	return func(e core.Endpoint) (driver.Connector, error) {
		if dc, ok := d.(driver.DriverContext); ok {
			return dc.OpenConnector(dsn(e.Addr))
		}
		return opener{d, dsn(e.Addr)}, nil
	}
}

// opener is the connector of a driver that has none.
type opener struct {
	driver driver.Driver
	dsn    string
}

func (o opener) Connect(context.Context) (driver.Conn, error) { return o.driver.Open(o.dsn) }
func (o opener) Driver() driver.Driver                        { return o.driver }

// Dial returns the dialer of connections for [core.New], which also validates the
// Config. The pool's classifier is [Classify]. A connection carries one session at a
// time: leave [core.MaxConcurrentCalls] at 1.
func Dial(conf Config) core.Dialer[*Conn] {
	conf.MaxStatements = cmp.Or(conf.MaxStatements, DefaultMaxStatements)
	return &dialer{conf}
}

type dialer struct{ conf Config }

// Validate reports mistakes in the Config. The pool calls it once.
func (d *dialer) Validate() error {
	if d.conf.Connector == nil {
		return errors.New("sqlpool: config: Connector is nil: set it to a function that returns your driver's connector to one server, such as sqlpool.DSN(driver, dsn)")
	}
	return nil
}

// Classify is the pool's classifier unless it is given another.
func (d *dialer) Classify(err error) balance.Outcome { return Classify(err) }

// Dial implements [core.Dialer].
func (d *dialer) Dial(ctx context.Context, e core.Endpoint) (*Conn, error) {
	connector, err := d.conf.Connector(e)
	if err != nil {
		return nil, fmt.Errorf("sqlpool: connector to %s: %w", e.Addr, err)
	}
	raw, err := connector.Connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("sqlpool: dial %s: %w", e.Addr, err)
	}
	if raw == nil {
		return nil, fmt.Errorf("sqlpool: dial %s: the driver returned neither a connection nor an error", e.Addr)
	}
	c := &Conn{raw: raw, addr: e.Addr, statements: statements{most: max(d.conf.MaxStatements, 0)}}
	c.life, c.end = context.WithCancel(context.WithoutCancel(ctx))
	return c, nil
}

// Conn is a connection of the pool. It is leased by the [database/sql.DB] of
// [OpenDB], and of no use without it.
type Conn struct {
	addr       string
	statements statements // only the session that leases the connection uses them
	used       bool       // by a session before

	life context.Context //nolint:containedctx // it ends with the connection, and with it what the driver does
	end  context.CancelFunc

	mu  sync.Mutex // held while the driver works: drivers do not expect Close beside a query
	raw driver.Conn
}

// Health asks the server whether it still answers, if the driver is a
// [driver.Pinger].
func (c *Conn) Health(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.raw.(driver.Pinger); ok {
		return p.Ping(ctx)
	}
	return nil
}

// Close closes the connection. If a query is under way, it is canceled, and Close
// waits for its end.
func (c *Conn) Close() error {
	c.end()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.raw.Close()
}

// bound returns ctx as it ends with the connection, and what frees it.
func (c *Conn) bound(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(c.life, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// valid is [driver.Validator], as far as the driver has it.
func (c *Conn) valid() bool {
	v, ok := c.raw.(driver.Validator)
	return !ok || v.IsValid()
}
