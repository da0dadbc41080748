package core_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/textproto"
	"syscall"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/core/pooltest"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

// A pool needs the set of servers and a function that connects to one of them. New
// returns at once: the pool dials when it is called.
func ExampleNew() {
	dial := func(ctx context.Context, e core.Endpoint) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", e.Addr)
	}
	pool, err := core.New(
		static.Watcher("10.0.0.1:9090", "10.0.0.2:9090"),
		core.DialFunc[net.Conn](dial),
		core.MaxActive(32),              // connections to each server
		core.IdleTimeout(5*time.Minute), // all other options have good defaults
	)
	if err != nil {
		log.Fatal(err) // it names every mistake in the parameters
	}
	fmt.Println(pool.Close(context.Background()))
	// Output: <nil>
}

// Do leases a connection, measures the call, and gives the connection back. Attempts
// lets it repeat a call that failed, on another server.
func ExamplePool_Do() {
	fleet := pooltest.NewFleet("a:1", "b:1")
	pool, err := core.New(fleet, fleet)
	if err != nil {
		log.Fatal(err)
	}
	fleet.Server("a:1").Fail(syscall.ECONNRESET) // every call

	err = pool.Do(context.Background(), func(ctx context.Context, c *pooltest.Conn) error {
		return c.Call(ctx)
	}, core.Attempts(2))

	fmt.Println(err, pool.Close(context.Background()))
	// Output: <nil> <nil>
}

// Call is Do for a function with a result. Answered marks an error that is the
// server's answer, and no failure.
func ExampleCall() {
	fleet := pooltest.NewFleet("a:1")
	pool, err := core.New(fleet, fleet)
	if err != nil {
		log.Fatal(err)
	}
	missing := &textproto.Error{Code: 404, Msg: "no such user"}

	name, err := core.Call(context.Background(), pool, func(ctx context.Context, c *pooltest.Conn) (string, error) {
		if err := c.Call(ctx); err != nil {
			return "", err
		}
		return "", core.Answered(missing)
	})

	fmt.Printf("%q, %v\n", name, errors.Is(err, missing))
	fmt.Println(pool.Close(context.Background()))
	// Output:
	// "", true
	// <nil>
}

// Get leases a connection for as long as the program needs it. End gives it back, and
// closes it if the error says that it is broken.
func ExamplePool_Get() {
	fleet := pooltest.NewFleet("a:1")
	pool, err := core.New(fleet, fleet)
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // Get waits no longer
	defer cancel()

	lease, err := pool.Get(ctx)
	if err != nil {
		log.Println(err) // which servers there are, and why none had a connection
		return
	}
	err = lease.Conn().Call(ctx)
	fmt.Println(lease.Endpoint().Addr, err, lease.End(err))
	fmt.Println("again:", lease.Release()) // does no harm

	fmt.Println(pool.Close(ctx))
	// Output:
	// a:1 <nil> <nil>
	// again: core: the lease has ended already
	// <nil>
}

// A hedged call that is late is made on a second server too, and the first answer counts.
func ExampleHedged() {
	fleet := pooltest.NewFleet("a:1", "b:1")
	pool, err := core.New(fleet, fleet)
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	fleet.Server("a:1").Hang()

	server, err := core.Call(ctx, pool, func(ctx context.Context, c *pooltest.Conn) (string, error) {
		return c.Addr(), c.Call(ctx)
	}, core.Hedged())

	fmt.Println(server, err, pool.Close(ctx))
	// Output: b:1 <nil> <nil>
}

// Calls with the same key go to the same server, in every program that knows the same
// servers, until that server leaves.
func ExampleWithKey() {
	fleet := pooltest.NewFleet("a:1", "b:1", "c:1")
	pool, err := core.New(fleet, fleet)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()

	servers := map[string]bool{}
	for range 100 {
		lease, err := pool.Get(ctx, core.WithKey("user-7"))
		if err != nil {
			log.Fatal(err)
		}
		servers[lease.Endpoint().Addr] = true
		if err := lease.Release(); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(len(servers), "server", pool.Close(ctx))
	// Output: 1 server <nil>
}

// An observer is called for what happens to servers and connections, one event at a
// time, and never for single calls.
func ExampleWithObserver() {
	left := make(chan string, 1)
	fleet := pooltest.NewFleet("a:1", "b:1")
	pool, err := core.New(fleet, fleet, core.WithObserver(func(e core.Event) {
		if e.Kind == core.EventEndpointRemoved {
			left <- e.Endpoint
		}
	}))
	if err != nil {
		log.Fatal(err)
	}
	if err := pool.WaitReady(context.Background()); err != nil {
		log.Fatal(err)
	}
	err = fleet.Set(core.Endpoint{Addr: "a:1"}) // the registry reports a set without b
	fmt.Println(<-left, "left;", err, pool.Close(context.Background()))
	// Output: b:1 left; <nil> <nil>
}

// Set changes options while calls go on. It changes all of them or none.
func ExamplePool_Set() {
	fleet := pooltest.NewFleet("a:1")
	pool, err := core.New(fleet, fleet, core.MaxActive(64))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(pool.Set(core.MaxActive(16), core.MaxIdle(4)))
	fmt.Println(pool.Set(core.MaxActive(0)))
	fmt.Println(pool.Close(context.Background()))
	// Output:
	// <nil>
	// core: MaxActive(0): must be at least 1
	// <nil>
}
