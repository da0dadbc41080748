package sqlpool_test

import (
	"context"
	"database/sql/driver"
	"fmt"
	"log"
	"strings"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/protocol/sqlpool"
)

// pgx stands for a driver, such as stdlib.GetDefaultDriver() of pgx.
var pgx driver.Driver = lines{}

func Example() {
	replicas, err := core.New(
		static.Watcher("10.0.0.2:5432", "10.0.0.3:5432"),
		sqlpool.Dial(sqlpool.Config{
			Connector: sqlpool.DSN(pgx, func(addr string) string { return "postgres://app@" + addr + "/orders" }),
		}),
		core.MaxActive(20), // connections per server
	)
	if err != nil {
		log.Fatal(err) // a mistake in the parameters; nothing was dialed yet
	}
	defer func() { _ = replicas.Close(context.Background()) }()

	db := sqlpool.OpenDB(replicas, sqlpool.Idempotent()) // reads may be executed twice
	defer func() { _ = db.Close() }()
	fmt.Println(db.Stats().OpenConnections)
	// Output: 0
}

// One registry, in which Patroni keeps a primary and its replicas, and two pools.
func Example_primary() {
	var mux discovery.Mux
	mux.Handle("static", static.Opener) // in place of etcd.Opener
	open := func(role, attrs string, opts ...core.Option) *core.Pool[*sqlpool.Conn] {
		w, err := mux.Open("static://10.0.0.1:5432,10.0.0.2:5432?" + role)
		if err != nil {
			log.Fatal(err)
		}
		dsn := func(addr string) string {
			return "postgres://app@" + addr + "/orders?target_session_attrs=" + attrs
		}
		pool, err := core.New(w, sqlpool.Dial(sqlpool.Config{Connector: sqlpool.DSN(pgx, dsn)}), opts...)
		if err != nil {
			log.Fatal(err)
		}
		return pool
	}
	primary := open("where=role:master&where=role:primary", "read-write", core.RemovalGrace(0))
	replicas := open("where=role:replica", "any")
	defer func() { _, _ = primary.Close(context.Background()), replicas.Close(context.Background()) }()

	writes := sqlpool.OpenDB(primary)
	reads := sqlpool.OpenDB(replicas, sqlpool.Idempotent())
	defer func() { _, _ = writes.Close(), reads.Close() }()
	fmt.Println(writes.Stats().InUse + reads.Stats().InUse)
	// Output: 0
}

// A driver whose errors have no method SQLState needs to be told which of them are
// answers, so that they do not count as errors of unknown kind.
func ExampleWithClassifier() {
	option := sqlpool.WithClassifier(func(err error, outcome balance.Outcome) balance.Outcome {
		if err != nil && strings.HasPrefix(err.Error(), "Error 1040") { // MySQL: too many connections
			return balance.OutcomeOverload
		}
		return outcome
	})
	_ = option
}
