// Package live serves a page that shows the pools of a process as they are now: is
// all well, which servers there are and what each of them gets, what happened, why a
// server is out of service, and what the registry says.
//
//	page := live.New()
//	users := page.Panel("users")
//	pool, err := core.New(watcher, dialer, core.WithObserver(users.Observe))
//	...
//	users.Show(pool)
//	mux.Handle("/debug/pools/", page)
//
// # Requests
//
// The handler looks at the last element of the path alone, and its page has relative
// URLs only, so it works below any prefix, with or without [http.StripPrefix]. Wrap it
// in your own authentication: it has none, and shows addresses, attributes and errors
// to everyone who reaches it.
//
//	GET .../            the page
//	GET .../pools.json  what the page shows, once
//	GET .../stream      the same as server-sent events: at each change and each second
//	POST .../act        see [Actions]; 403 by default
//
// pools.json and stream take parameters: pool, the name of the pool to show (the first
// by default); q, words that a server's address, zone or state contains; sort, one of
// trouble (the default), address, share, latency, errors and in_use; offset and limit,
// of the servers (0 and 50; at most 1,000). Names in the JSON are stable, and those of
// durations end with their unit: latency_ms, duration_ms. The type [Document] is that
// JSON, for programs that read it.
//
// Text from registries and servers stays text on the page. The page gets nothing from
// outside of its own origin, which its Content-Security-Policy enforces.
//
// # Cost
//
// Each panel makes its pool measure its calls, see core.Pool.Measure, and asks for its
// Stats every five seconds; while somebody looks, each second and at each event. Nothing
// else happens while nobody looks. Per pool, memory is bounded by 256 events and by
// 1.2 kB for each of at most 16,384 servers in the set: sixty points of five seconds,
// and what happened last. A server that left is forgotten.
package live
