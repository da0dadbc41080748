package balance_test

import (
	"context"
	"fmt"
	"log"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/core/pooltest"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

// A pool has a balancer already. Another one is an option; here calls stay in the zone of
// the program while its servers can take them.
func Example() {
	fleet := pooltest.NewFleet()
	if err := fleet.Set(
		discovery.Endpoint{Addr: "a:1", Zone: "east"},
		discovery.Endpoint{Addr: "b:1", Zone: "west"},
		discovery.Endpoint{Addr: "c:1", Zone: "east"},
	); err != nil {
		log.Fatal(err)
	}
	pool, err := core.New(fleet, fleet,
		core.WithBalancer(balance.ZoneAware("east", balance.RoundRobin())))
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	for range 10 {
		if err := pool.Do(ctx, func(ctx context.Context, c *pooltest.Conn) error { return c.Call(ctx) }); err != nil {
			log.Fatal(err)
		}
	}
	east, west := fleet.Server("a:1").Calls()+fleet.Server("c:1").Calls(), fleet.Server("b:1").Calls()
	fmt.Println(east > west, east+west, pool.Close(ctx))
	// Output: true 10 <nil>
}

// first sends every call to the first server that is available.
type first struct{}

// Build implements balance.Balancer.
func (first) Build(_ balance.Picker, members []balance.Member) balance.Picker {
	return firstOf(members)
}

type firstOf []balance.Member

// Pick implements balance.Picker.
func (f firstOf) Pick(balance.PickInfo) int {
	for i, m := range f {
		if !m.Unavailable() {
			return i
		}
	}
	return 0
}

// Report implements balance.Picker.
func (firstOf) Report(int, balance.Report) {}

// A balancer of your own implements two small interfaces; balancetest tests it.
func ExampleBalancer() {
	fleet := pooltest.NewFleet("a:1")
	pool, err := core.New(fleet, fleet, core.WithBalancer(first{}))
	if err != nil {
		log.Fatal(err)
	}
	err = pool.Do(context.Background(), func(ctx context.Context, c *pooltest.Conn) error { return c.Call(ctx) })
	fmt.Println(err, pool.Close(context.Background()))
	// Output: <nil> <nil>
}
