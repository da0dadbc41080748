// Package retry makes a call again when it failed: on another connection, on
// another server, within the budget of its pool. It makes a call that is late a
// second time before the first has failed.
//
// core.Pool.Do, core.Call and every adapter use it: the caller defines what an
// attempt is and how it ended ([Verdict]), and this package decides what follows.
//
//	answer, err := retry.Run(ctx, pool.Retrier(), retry.Call{Attempts: 3, Repeatable: true},
//		func(ctx context.Context, a retry.Attempt) (T, retry.Result, error) {
//			var none T
//			var opts []core.CallOption
//			for _, addr := range a.Excluded {
//				opts = append(opts, core.WithoutEndpoint(addr))
//			}
//			lease, err := pool.Get(ctx, opts...)
//			if err != nil {
//				return none, retry.Result{Verdict: retry.VerdictNoServer}, err
//			}
//			addr := lease.Endpoint().Addr
//			if !a.Leased(addr) {
//				return none, retry.Result{Verdict: retry.VerdictNoServer}, lease.Release()
//			}
//			began := time.Now()
//			answer, verdict, outcome, err := lease.Conn().Exchange(ctx, request) // the protocol's own
//			lease.Report(balance.Report{Outcome: outcome, Latency: time.Since(began)})
//			if lease.Conn().Reusable() {
//				_ = lease.Release()
//			} else {
//				_ = lease.Discard(err)
//			}
//			return answer, retry.Result{Verdict: verdict, Endpoint: addr, Outcome: outcome}, err
//		})
//
// The adapter decides two things about each attempt: the verdict, by which this
// package decides whether to repeat the call, and the outcome (of package balance),
// by which the balancer and outlier detection judge the server.
//
// # What is repeated
//
//	verdict   executed?   on                   needs
//	Done                  not repeated
//	Stale     no          any connection       nothing; not counted as an attempt, up to 16 times
//	Unsent    no          preferably another   an attempt left
//	Refused   no          preferably another   an attempt left, a token
//	Worn      perhaps     preferably another   an attempt left, a token, Call.Repeatable
//	Failed    perhaps     another, or the      an attempt left, a token, Call.Repeatable
//	                      only available one
//	Overload  perhaps     another only         an attempt left, a token, Call.Repeatable
//	NoServer              not repeated
//
// A token comes from the pool's budget of repeated calls: a fifth of the calls
// plus ten per second, where ten seconds' worth can be saved up. There is none
// for a call whose deadline leaves less than the time that a call takes on
// average. No call is repeated once its context is done.
package retry
