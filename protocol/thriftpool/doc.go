// Package thriftpool calls Thrift services through a pool of core: each call
// goes to the server that is best placed to answer, on a connection that is
// kept for the next.
//
//	pool, err := core.New(static.Watcher("h1:9090", "h2:9090"), thriftpool.Dial(thriftpool.Config{}))
//	...
//	client := thriftpool.Client(pool, thriftpool.Idempotent("getUser"))
//	user, err := users.NewUsersClient(client).GetUser(ctx, id)
//
// # One generated client per goroutine
//
// What [Client] returns is safe for concurrent use. The clients that the Thrift
// compiler generates are not: each call writes the response's headers to a
// field, SetLastResponseMeta_, so that goroutines which share one client race
// on it. Share what Client returns, and make a generated client per goroutine,
// or per call as above, which costs one small allocation.
//
// # Stacks
//
// The zero [Config] speaks the binary protocol in frames, as a server with
// TFramedTransport does. It does so with a transport of its own, which sends a
// request with one write, where Apache's makes two and sets three deadlines.
// Any other protocol and transport is given as a factory, and gets the same
// deadlines. Addresses are "host:port" or "unix:/path".
//
// # Time
//
// A call ends at the deadline of its context, or when [Config.Timeout] has
// passed, whichever is first. When its context is cancelled it returns within
// a few milliseconds. In either case its connection is closed: the reply may
// still come.
//
// # Retries
//
// A call that no server can have executed is sent to another server. One that
// was sent and not answered is, if its method was declared [Idempotent]. One
// whose reply has begun is not. No call is sent to more than three servers, see
// [Attempts], and none that may have been executed twice to the same one, unless
// there is no other in the set.
//
// A call of a method that is [Hedged] is made a second time before it has
// failed, when it is late. That is the way out of a server that hangs which
// costs least time; a [Config.Timeout] below the callers' deadlines is the other.
//
// Before a call on a connection that was idle for a millisecond, and before
// any call for a second after a connection broke, a look at the socket tells
// whether the server has closed it. So a call does not fail because its
// connection was idle for too long.
//
// # Connections
//
// A connection serves the next call after a reply that was understood to its
// last byte: results, exceptions of the IDL, and the TApplicationExceptions
// UNKNOWN_METHOD, INTERNAL_ERROR, MISSING_RESULT and VALIDATION_FAILED. After
// anything else, such as a wrong sequence id, a timeout, or bytes left over, it
// is closed. [Classify] tells what each outcome means for the server.
//
// A oneway call that was sent says nothing of its server. It is as lost as it
// always was if the server dies before reading it.
package thriftpool
