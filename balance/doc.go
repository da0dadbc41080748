// Package balance has the contract of balancers, which choose the endpoint of each
// call, and the balancers themselves: the default of a pool, its alternatives, and
// three that narrow down what another one chooses from.
//
//	pool, err := core.New(watcher, dialer,
//		core.WithBalancer(balance.RoundRobin()))
//
// Most pools need none of the alternatives: [LeastLatency], the default, weighs
// latency, calls in flight and the servers' own load, and copes best with slow,
// new, uneven and failing servers. It answers keyed calls as well, as [Rendezvous]
// does. Choose another one for a reason:
//
//   - [RoundRobin]: every server must get the same number of calls, as in tests,
//     to warm caches, or to compare servers.
//   - [WeightedRoundRobin]: the shares of the calls are fixed by weights, also over
//     short stretches, as for one canary in a hundred servers.
//   - [Random]: as WeightedRoundRobin in the long run, without a counter that
//     all callers share, for very many callers on very many cores.
//   - [LeastInFlight]: the calls take so unequally long that an average says
//     nothing: streams, queries, uploads.
//   - [PeakEWMA]: one slow answer must be reason enough to go elsewhere for a while;
//     it is the balancer that users of Finagle and Linkerd know.
//   - [Maglev]: most calls have a key (see core.WithKey) and there are more than
//     about twenty servers: caches, sessions, shards. It takes constant time and
//     spreads keys evenly.
//   - [RingHash]: as Maglev, where as few keys as possible must move when servers
//     come and go.
//   - [Rendezvous]: as RingHash, for few servers: it is exact and needs no table, but
//     its time grows with the number of servers.
//   - [Ketama], [Twemproxy], [LibmemcachedKetama], [Nginx], [HAProxy], [GRPCRing]: each
//     key must go to the server that the program of that name sends it to, since
//     clients of both kinds share a fleet of caches, or a client of this kind takes a
//     fleet over.
//   - [ZoneAware] around any of them: calls between zones cost money or time.
//   - [Subset] around any of them: hundreds of servers and hundreds of clients, where
//     connections between all of them are too many.
//   - [Priority] around any of them: some servers are for the time in which no other is
//     left, such as those of a higher SRV priority.
//
// Outlier detection (package outlier) works over all of them.
//
// All of them have this in common: A pick takes no lock, allocates nothing and
// never blocks. An unavailable endpoint (see [Member.Unavailable]) is picked only if
// all are unavailable. Weights may differ by up to a factor of a billion; a lighter
// endpoint counts as a billionth of the heaviest. A pick takes constant or
// logarithmic time, with two exceptions that look at all endpoints, at some
// nanoseconds each: keyed calls that are answered as by [Rendezvous], and fleets
// most of which are unavailable. A key is the 64-bit hash in [PickInfo]; it belongs
// to the same endpoint in all processes that know the same endpoints and use the
// same balancer. LeastLatency and Rendezvous place keys alike; RingHash and Maglev
// each place them in another way. The rings of other programs hash the text of a key
// themselves: for them core.WithKeyHash is what that program's hash function returns.
//
// Parameters that make no sense are errors of core.New, by the method Validate.
//
// Package balancetest is the conformance suite that all of them pass.
package balance
