// Package balance has balancers beside the default one of a pool, and two that
// narrow down what another one chooses from.
//
//	pool, err := core.New(watcher, dialer,
//		core.WithBalancer(core.Ejecting(balance.RoundRobin(), core.Ejection{})))
//
// Which one to take? Most likely none of them: the default, see
// [core.LeastLatency], weighs latency and calls in flight and is the best at
// slow, new, uneven and failing servers. It answers keyed calls too, as
// [Rendezvous] does. Take another one for a reason:
//
//   - [RoundRobin]: each server is to get the same number of calls, whatever
//     happens, as for tests, for warming caches, or to compare servers.
//   - [WeightedRoundRobin]: the shares of the calls are laid down in weights,
//     as for one canary in a hundred; even over short stretches.
//   - [Random]: as that, only even in the long run, and for very many callers
//     on very many cores, which here share no counter.
//   - [LeastInFlight]: answers take so unequally long, by the nature of the
//     calls, that an average of them says nothing: streams, queries, uploads.
//   - [PeakEWMA]: one slow answer is to be reason enough to go elsewhere; what
//     users of Finagle and Linkerd know.
//   - [Maglev]: most calls have a key (see [core.WithKey]) and there are more
//     than about twenty servers: caches, sessions, shards. Constant time, even.
//   - [RingHash]: as that, where as few keys as possible are to move when
//     servers come and go.
//   - [Rendezvous]: as that, for few servers: it is exact, needs no table, and
//     its time grows with the servers.
//   - [ZoneAware] around any of them: calls between zones cost money or time.
//   - [Subset] around any of them: hundreds of servers and hundreds of clients,
//     and connections between all of them are too many.
//
// A balancer given to [core.WithBalancer] replaces the default with all that it
// does: to have bad servers taken out of service as well, wrap it in
// [core.Ejecting].
//
// What all have in common: a pick takes no lock, allocates nothing and never
// blocks. An endpoint that is out (see [core.Member.Out]) is picked only if all
// are. Weights may be as different as they like, down to a billionth of the
// heaviest, which is what less counts as. A pick takes constant time, or
// logarithmic, but for keyed calls where [Rendezvous] answers them, and for
// fleets most of which are out: these look at all endpoints, which takes some
// nanoseconds each. A key is the 64-bit hash in [core.Hint]; it belongs to the
// same endpoint in all processes that know the same endpoints and balance in
// the same way.
//
// Package balancetest is the suite that all of them pass, and the default.
package balance
