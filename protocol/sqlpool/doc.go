// Package sqlpool is database/sql over a pool of core: a [database/sql.DB] whose
// connections lead to a fleet of servers that comes and goes. Queries, transactions
// and libraries over database/sql stay as they are; the pool chooses the server,
// ejects those that fail, drains those that leave, and follows the registry.
//
//	replicas, err := core.New(watcher, sqlpool.Dial(sqlpool.Config{
//		Connector: sqlpool.DSN(stdlib.GetDefaultDriver(), func(addr string) string {
//			return "postgres://app@" + addr + "/orders"
//		}),
//	}))
//	db := sqlpool.OpenDB(replicas, sqlpool.Idempotent())
//	err = db.QueryRowContext(ctx, "SELECT total FROM orders WHERE id = $1", id).Scan(&total)
//
// # One session, one lease
//
// database/sql opens a connection for each query, transaction or [database/sql.Conn]
// and closes it behind; here, that leases one and gives it back. Rows that are not
// closed keep their lease: [core.LeakDetectionThreshold] finds them. A prepared
// statement of [database/sql.DB.PrepareContext] stays prepared on its connections, up
// to [Config.MaxStatements] on each.
//
// The optional interfaces of a driver work as they do without the pool, except that
// [database/sql.Conn.Raw] shows a connection of this package: [Raw] shows the
// driver's.
//
// # What fails, and what is repeated
//
// An error of SQL is an answer: it is returned as the driver made it, and neither the
// server nor the connection suffers. An operation that fails because of its connection
// is an [*Error], closes the connection, and counts against the server. See
// [Classify].
//
// What the driver reports as [driver.ErrBadConn] is repeated: the server has not seen
// it. So is beginning a transaction or preparing a statement that fails. What the
// server may have executed is repeated only if [Idempotent] allows it. A repeat goes
// to another server, or to the same one if no other is available. Nothing is repeated
// in a transaction, behind the first statement of a [database/sql.Conn], or behind the
// second row of a result: a result of one row arrives whole, a longer one may break
// off. A commit whose answer is lost may or may not have been executed.
//
// What fails after its context has ended in the program, between two statements of a
// transaction or two rows, costs the connection but does not count against the server.
//
// Observers of package retry see each operation of the driver, under the name "query",
// "exec", "prepare", "begin", "commit", "rollback" or "ping": the rows behind the first
// ones, and the wait for the first connection, are not part of it.
//
// A statement ends at the deadline of its context: this package sets none. A server
// that hangs costs those callers their time that it has, until outlier detection
// ejects it.
//
// # Connections that their server has closed
//
// Before a lease, a connection that was idle for [core.ValidateAfterIdle], a second
// by default, is pinged, which costs a round trip. A negative value is for drivers
// whose ResetSession looks at the connection anyway, as that of pgx does. The first
// connection that turns out to have ended closes the other idle ones to its server.
//
// # A primary and its replicas
//
// Two pools of the same registry are enough, such as of what Patroni writes:
//
//	etcd://h1:2379,h2:2379/service/orders/members?format=patroni&where=role:master&where=role:primary
//	etcd://h1:2379,h2:2379/service/orders/members?format=patroni&where=role:replica
//
// The pool of the primary needs two things, since a registry is late when a primary
// moves: [core.RemovalGrace] of 0, so that the old one does not stay in the set in
// doubt, and a driver that refuses servers in recovery, as pgx and libpq do for
// target_session_attrs=read-write in the data source name.
//
// While the primary moves, a write that is under way fails, and later ones fail at
// once with [core.ErrUnavailable] or [core.ErrNoEndpoint], until the new primary is in
// the registry: for 3.5 s of a switchover and 23 s of a primary that was killed, with a
// TTL of 20 s in Patroni. Reads of the replicas do not fail. The report of
// interop/postgres has the figures.
package sqlpool
