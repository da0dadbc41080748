package pooltest_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/core/pooltest"
)

// cache is a program's own type of connection.
type cache struct {
	*pooltest.Conn
	data map[string]string
}

func (c cache) get(ctx context.Context, key string) (string, error) {
	if err := c.Call(ctx); err != nil {
		return "", err
	}
	return c.data[key], nil
}

// A program's own type of connection does what its server's script says. Here the
// server that was called goes down, and the call is made again on the other.
func ExampleDialer() {
	ctx := context.Background()
	fleet := pooltest.NewFleet("a:1", "b:1")
	pool, err := core.New(fleet, pooltest.Dialer(fleet, func(c *pooltest.Conn) cache {
		return cache{c, map[string]string{"color": "blue"}}
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	fleet.Server("a:1").Down()
	color, err := core.Call(ctx, pool, func(ctx context.Context, c cache) (string, error) { return c.get(ctx, "color") }, core.Attempts(2))
	fmt.Println(color, err)
	fmt.Println(pool.Close(ctx), fleet.Server("b:1").Open(), "open")
	// Output:
	// blue <nil>
	// <nil> 0 open
}

// A test that needs a server that does not answer bounds the call.
func ExampleServer_Hang() {
	fleet := pooltest.NewFleet("a:1")
	pool, err := core.New(fleet, fleet)
	if err != nil {
		fmt.Println(err)
		return
	}
	fleet.Server("a:1").Hang()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	err = pool.Do(ctx, func(ctx context.Context, c *pooltest.Conn) error { return c.Call(ctx) })
	fmt.Println(errors.Is(err, context.DeadlineExceeded), pool.Close(context.Background()))
	// Output: true <nil>
}

func ExampleRecorder() {
	fleet := pooltest.NewFleet("a:1")
	var events pooltest.Recorder
	pool, err := core.New(fleet, fleet, core.MinIdle(1), core.WithObserver(events.Observe))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	e, err := events.Wait(ctx, core.EventDialed, "a:1")
	fmt.Println(e.Kind, e.Endpoint, err, pool.Close(ctx))
	// Output: dialed a:1 <nil> <nil>
}
