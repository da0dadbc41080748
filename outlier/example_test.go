package outlier_test

import (
	"context"
	"fmt"
	"log"
	"syscall"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/core/pooltest"
	"github.com/minicaptain/multi_connection_pool/outlier"
)

// Outlier detection is on by default. Its parameters are an option, and its events say
// what it did and on what evidence.
func Example() {
	fleet := pooltest.NewFleet("a:1", "b:1", "c:1", "d:1")
	var events pooltest.Recorder
	pool, err := core.New(fleet, fleet,
		core.WithOutlierDetection(outlier.Config{MaxEjectionPercent: 30, BaseEjectionTime: time.Second}),
		core.WithObserver(events.Observe),
	)
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	fleet.Server("a:1").Fail(syscall.ECONNRESET)
	for len(events.Events(core.EventEndpointEjected)) == 0 && ctx.Err() == nil {
		_ = pool.Do(ctx, func(ctx context.Context, c *pooltest.Conn) error { return c.Call(ctx) }, core.Attempts(2))
	}
	for _, e := range events.Events(core.EventEndpointEjected) {
		fmt.Println(e.Kind, e.Endpoint, e.Evidence != nil)
	}
	fmt.Println(pool.Close(ctx))
	// Output:
	// endpoint ejected a:1 true
	// <nil>
}
