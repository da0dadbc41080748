// Package thriftpool calls Thrift services through a pool of core: each call
// goes to the server that is best placed to answer, on a connection that the next
// call reuses.
//
//	pool, err := core.New(static.Watcher("h1:9090", "h2:9090"), thriftpool.Dial(thriftpool.Config{}))
//	...
//	client := thriftpool.Client(pool, thriftpool.Idempotent("getUser"))
//	user, err := users.NewUsersClient(client).GetUser(ctx, id)
//
// # One generated client per goroutine
//
// The client that [Client] returns is safe for concurrent use. The clients that
// the Thrift compiler generates are not: each call writes the headers of the
// response to a field, SetLastResponseMeta_, and goroutines that share a generated
// client race on it. Share what Client returns, and make a generated client per
// goroutine, or per call as above, which costs one small allocation.
//
// # Stacks
//
// The zero [Config] speaks the binary protocol in frames, to servers with a
// TFramedTransport. Its transport is the package's own: it sends a request with
// one write, where Apache's makes two writes and sets three deadlines. Any other
// protocol and transport is given as a factory, and the same deadlines hold.
// Addresses are "host:port" or "unix:/path".
//
// When a server speaks something else, the error of the call or of the dial says so:
// a reply in HTTP or TLS, with or without frames is recognized by its first bytes,
// and a server that never answered is named as such.
//
// # Several services of one server
//
// A server that has several services in a TMultiplexedProcessor is called by clients
// with the option [Service]: one per service, over one pool, whose connections they
// share. On a leased connection it is [Conn.Service].
//
// # Time
//
// A call ends at the deadline of its context, or when [Config.Timeout] has
// passed, whichever is first. When its context is canceled, the call returns
// within a few milliseconds. In each case its connection is closed, since the
// reply may still arrive.
//
// A call of a method that is [Idempotent] is given up earlier, in time to go to
// another server, by how long replies to the method take: see [retry.Attempt.Until].
//
// # Retries
//
// A call that no server can have executed is sent again, preferably to another
// server. A call that was sent and not answered is sent again if its method is
// [Idempotent]: to another server, or to the same one if no other is available. A
// call whose reply has begun is never sent again. The default limit is three
// attempts, see [Attempts]. Package retry has the rules.
//
// A call of a method that is [Hedged] is made a second time, on another server,
// when it is late, which costs the least time when a server hangs.
//
// The package peeks whether the server has closed the connection, before a call on
// one that was idle for a millisecond, and before every call for a second after a
// connection broke. So a call does not fail because its connection was idle for
// too long.
//
// # Servers with a thread per connection
//
// Some servers keep a thread busy for as long as a connection is open, also an idle
// one, and have a fixed number of threads. A connection beyond that number waits
// with Python's TThreadPoolServer (10 threads, setNumThreads), so that its calls time
// out. Java's TThreadPoolServer (maxWorkerThreads) closes it at once, so that its calls
// fail. Set [core.MaxActive] so that the connections of all client processes are
// fewer than the threads of one server:
//
//	core.MaxActive(threads/clients - 1)
//
// Leave MinIdle at 0, and lower [core.IdleTimeout] if clients are idle for long. The
// spare thread is for a call that was given up, whose handler still runs, and for a
// connection that the server has not seen end. TSimpleServer has one thread:
// core.MaxActive(1), and one client. The servers of Go, those with a selector or
// non-blocking, and Python's TThreadedServer and TForkingServer have no such limit.
//
// # Connections
//
// A connection serves the next call after a reply that was understood to its
// last byte: results, exceptions of the IDL, and the TApplicationExceptions
// UNKNOWN_METHOD, INTERNAL_ERROR, MISSING_RESULT and VALIDATION_FAILED. It is
// closed after anything else, such as a wrong sequence id, a timeout, or bytes left
// over. A request that exceeds MaxFrameSize is refused before any of it is sent, and
// costs no connection. A server whose limit is lower closes the connection, as one
// does that fails. So when that happens to a request of more than 64 KB, and larger
// than any that was answered, the outcome is OutcomeNeutral, and after it happened
// twice the call is not sent again. [Classify] documents what each outcome means for the server; it is the
// classifier of the pool's Do, too.
//
// A oneway call that was sent proves nothing about its server. It is lost, as
// always, if the server dies before reading it.
package thriftpool
