package retry_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"syscall"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/core/pooltest"
	"github.com/minicaptain/multi_connection_pool/retry"
)

// An adapter of a protocol makes its calls with Run: it says what one attempt is and how
// that ended. Programs use core.Call and core.Attempts instead.
func ExampleRun() {
	fleet := pooltest.NewFleet("a:1", "b:1")
	pool, err := core.New(fleet, fleet)
	if err != nil {
		log.Fatal(err)
	}
	fleet.Server("a:1").Fail(syscall.ECONNRESET)

	attempt := func(ctx context.Context, a retry.Attempt) (string, retry.Result, error) {
		var opts []core.CallOption
		for _, addr := range a.Excluded {
			opts = append(opts, core.WithoutEndpoint(addr))
		}
		lease, err := pool.Get(ctx, opts...)
		if err != nil {
			return "", retry.Result{Verdict: retry.VerdictNoServer}, err
		}
		addr := lease.Endpoint().Addr
		if !a.Leased(addr) {
			return "", retry.Result{Verdict: retry.VerdictNoServer}, lease.Release()
		}
		began := time.Now()
		result := retry.Result{Verdict: retry.VerdictDone, Endpoint: addr, Outcome: balance.OutcomeOK}
		err = lease.Conn().Call(ctx) // the protocol's own exchange
		if err != nil {
			result.Verdict, result.Outcome = retry.VerdictFailed, balance.OutcomeFailure
		}
		result.Took = time.Since(began)
		lease.Report(balance.Report{Outcome: result.Outcome, Latency: result.Took})
		if err != nil {
			return "", result, errors.Join(err, lease.Discard(err))
		}
		return addr, result, lease.Release()
	}
	call := retry.Call{Attempts: 3, Repeatable: true}
	server, err := retry.Run(context.Background(), pool.Retrier(), call, attempt)

	fmt.Println(server, err, pool.Close(context.Background()))
	// Output: b:1 <nil> <nil>
}
