package migrating_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/dns"
	"github.com/minicaptain/multi_connection_pool/discovery/etcd"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/discovery/zk"
	"github.com/minicaptain/multi_connection_pool/outlier"
	"github.com/minicaptain/multi_connection_pool/protocol/httppool"
	"github.com/minicaptain/multi_connection_pool/protocol/sqlpool"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

// pgx stands for stdlib.GetDefaultDriver() of github.com/jackc/pgx/v5/stdlib, or for the
// driver of another database.
var pgx driver.Driver

// From pgxpool.
func Example_pgxpool() {
	pool, err := core.New(
		static.Watcher("10.0.0.1:5432", "10.0.0.2:5432"),
		sqlpool.Dial(sqlpool.Config{
			Connector: sqlpool.DSN(pgx, func(addr string) string { return "postgres://app@" + addr + "/orders" }),
		}),
		core.MaxActive(16),                     // MaxConns, of each server
		core.MaxTotal(24),                      // and of all
		core.MinIdle(2),                        // MinIdleConns
		core.IdleTimeout(30*time.Minute),       // MaxConnIdleTime
		core.MaxLifetime(time.Hour),            // MaxConnLifetime
		core.HealthCheckInterval(time.Minute),  // HealthCheckPeriod
		core.ValidateAfterIdle(10*time.Second), // ShouldPing
	)
	if err != nil {
		log.Fatal(err)
	}
	db := sqlpool.OpenDB(pool,
		sqlpool.WithIdempotent(func(_ context.Context, query string) bool { return query == "SELECT 1" })) // or sqlpool.Idempotent()

	ctx := context.Background()
	var one int
	if err := db.QueryRowContext(ctx, "SELECT 1").Scan(&one); err != nil { // Query, Exec, Begin are those of sql.DB
		log.Fatal(err)
	}
	var conn *sql.Conn // Acquire
	if conn, err = db.Conn(ctx); err != nil {
		log.Fatal(err)
	}
	err = sqlpool.Raw(conn, func(driverConn any) error { return nil })
	fmt.Println(err, conn.Close()) // Release

	fmt.Println(pool.Stats().Limit) // Stat
	pool.Reset()                    // Reset
	fmt.Println(db.Close(), pool.Close(ctx))
}

// From httplb.
func Example_httplb() {
	client, err := httppool.NewClient(
		map[string]core.Watcher{ // the hosts that URLs may name
			"echo":  static.Watcher("10.0.0.1:8080", "10.0.0.2:8080"),
			"users": dns.Watcher(nil, "users.example.com:8080"), // WithResolver(NewDNSResolver)
		},
		httppool.WithFallback(http.DefaultTransport), // for other hosts
		httppool.WithPool(
			core.WithBalancer(balance.RoundRobin()), // WithPicker
			core.IdleTimeout(time.Minute),           // WithIdleConnectionTimeout
			core.MaxLifetime(time.Hour),             // WithRoundTripperMaxLifetime
		),
		httppool.WithConfig(httppool.Config{
			Timeout:     time.Second,                                                   // of a server that is silent
			TLS:         nil,                                                           // WithTLSConfig
			DialContext: new(net.Dialer).DialContext,                                   // WithDialer
			Base:        &http.Transport{DisableCompression: true},                     // WithDisableCompression
			Ping:        func(context.Context, http.RoundTripper) error { return nil }, // WithHealthChecks
		}),
		httppool.WithHost("users", httppool.WithPool(
			core.WithBalancer(balance.Subset(0, 10, balance.LeastInFlight())), // RendezvousConfig, NewLeastLoadedRoundRobin
		)),
	)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(client.Close(context.Background()))
	// Output: <nil>
}

// From Kitex.
func Example_kitex() {
	var mux discovery.Mux
	mux.Handle("etcd", etcd.Opener)
	watcher, err := mux.Open("etcd://h1:2379?prefix=kitex/registry-etcd/svc-echo/&format=kitex-etcd") // WithResolver
	if err != nil {
		log.Fatal(err)
	}
	pool, err := core.New(watcher,
		thriftpool.Dial(thriftpool.Config{Timeout: time.Second}), // WithRPCTimeout
		core.MaxIdle(10),                                // WithLongConnection
		core.IdleTimeout(time.Minute),                   //
		core.DialTimeout(time.Second),                   // WithConnectTimeout
		core.WithBalancer(balance.WeightedRoundRobin()), // WithLoadBalancer
		core.WithOutlierDetection(outlier.Config{}),     // WithCircuitBreaker; the default
	)
	if err != nil {
		log.Fatal(err)
	}
	client := echo.NewEchoClient(thriftpool.Client(pool,
		thriftpool.Idempotent("echo"), // WithFailureRetry
		thriftpool.Attempts(3),
		thriftpool.Hedged("echo"), // WithBackupRequest
		thriftpool.WithRoute(func(_ context.Context, _ string, args thrift.TStruct) []core.CallOption {
			return []core.CallOption{core.WithKey(fmt.Sprint(args))} // NewConsistBalancer
		}),
	))
	fmt.Println(client != nil)
}

// client is a connection of a program that used package util.
type client struct{ net.Conn }

// Health was called before each lease; HealthChecker is for a request to the server, and
// Peeker for a look at the connection.
func (*client) Health(context.Context) error { return nil }

func (*client) Peek() error { return nil }

// From package util.
func Example_util() {
	var dialer core.Dialer[*client] = core.DialFunc[*client](func(ctx context.Context, e core.Endpoint) (*client, error) { // SingleFactory
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", e.Addr)
		return &client{conn}, err
	})
	pool, err := core.New(static.Watcher("10.0.0.1:9090"), dialer,
		core.WithoutOutlierDetection(),         // FailRate: 1
		core.WithBalancer(balance.RingHash()),  // Replicas
		core.WithObserver(func(core.Event) {}), // log lines
	)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	_, err = pool.Get(ctx, core.WithEndpoint("10.0.0.2:9090")) // GetServerConn
	fmt.Println(errors.Is(err, core.ErrNoEndpoint))
	fmt.Println(errors.Is(err, core.ErrExhausted), errors.Is(err, core.ErrUnavailable), errors.Is(err, core.ErrClosed))
	fmt.Println(pool.Close(ctx))

	var _ core.HealthChecker = (*client)(nil)
	var _ core.Peeker = (*client)(nil)
	// Output:
	// true
	// false false false
	// <nil>
}

// Watchers by code, instead of by URL.
func Example_watchers() {
	watchers := []core.Watcher{
		etcd.Watcher([]string{"h1:2379"}, "kitex/registry-etcd/svc-echo/", etcd.WithFormat(format.KitexEtcd())),
		zk.Watcher([]string{"h1:2181"}, "/services/echo", zk.WithFormat(format.KitexZK())),
		zk.Watcher([]string{"h1:2181"}, "/servers", zk.SessionTimeout(5*time.Second)), // ZkServers, ZkNode, ZkSessionTimeout
	}
	fmt.Println(len(watchers), core.MaxConcurrentCalls(4) != nil)
	// Output: 3 true
}
