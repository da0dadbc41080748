package util_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/util"
)

// greeter is a program's own connection.
type greeter struct{ server string }

func (*greeter) Close() error  { return nil }
func (*greeter) Health() error { return nil }

// Greet makes a call.
func (g *greeter) Greet(name string) error {
	fmt.Println("hello,", name, "from", g.server)
	return nil
}

// greeters makes connections.
type greeters struct{ server string }

// NewConnection opens one.
func (f greeters) NewConnection() (util.Conn, error) { return &greeter{f.server}, nil }

// A program of the first version goes on as it is.
func Example() {
	pool := &util.MultiPool{
		SingleMaxActiveCount: 10,
		SingleMaxIdleCount:   2,
		SingleFactory:        func(server string, _ time.Duration, _ int) util.Factory { return greeters{server} },
		Servers:              []string{"10.0.0.1:9090"},
	}
	if err := pool.InitFromServerList(); err != nil {
		log.Fatal(err)
	}
	conn, server, err := pool.Get()
	if errors.Is(err, util.ErrPoolExhausted) {
		log.Fatal("all connections are leased: ", err)
	}
	if err != nil {
		log.Fatal(err)
	}
	err = conn.(*greeter).Greet("Ann")
	fmt.Println(err, pool.Put(conn, server, err != nil), pool.Close())
	// Output:
	// hello, Ann from 10.0.0.1:9090
	// <nil> <nil> <nil>
}

// The same program with package core.
func Example_core() {
	dial := func(_ context.Context, e core.Endpoint) (*greeter, error) { return &greeter{e.Addr}, nil }
	pool, err := core.New(static.Watcher("10.0.0.1:9090"), core.DialFunc[*greeter](dial), core.MaxActive(10), core.MaxIdle(2))
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	err = pool.Do(ctx, func(_ context.Context, g *greeter) error { return g.Greet("Ann") })
	fmt.Println(err, pool.Close(ctx))
	// Output:
	// hello, Ann from 10.0.0.1:9090
	// <nil> <nil>
}

// firstClient and nextClient are the connection of the program in MIGRATION.md, before
// and after.
type (
	firstClient struct{ util.Conn }
	nextClient  struct{ net.Conn }
)

func (*firstClient) Hello(string) error { return nil }

func (*nextClient) Hello(context.Context, string) error { return nil }

// before has lines of MIGRATION.md.
//
//nolint:errcheck // as programs of the first version do
func before(pool *util.MultiPool, name string) error {
	type client = firstClient
	conn, server, err := pool.Get()
	if err != nil {
		return err
	}
	err = conn.(*client).Hello(name)
	pool.Put(conn, server, err != nil)
	return err
}

// after has lines of MIGRATION.md.
func after(ctx context.Context, watcher core.Watcher, name string, options ...core.Option) error {
	type client = nextClient
	dial := func(context.Context, core.Endpoint) (*client, error) { return &client{}, nil }
	pool, err := core.New(watcher, core.DialFunc[*client](dial), options...)
	if err != nil {
		return err
	}
	return pool.Do(ctx, func(ctx context.Context, c *client) error { return c.Hello(ctx, name) })
}

var (
	_ = before
	_ = after
)
