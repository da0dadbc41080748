// Package netpool speaks any protocol over TCP or unix sockets, with or without
// TLS, through a pool of core. You write a function that makes one exchange; the
// package does the rest.
//
//	pool, err := core.New(static.Watcher("h1:7000", "h2:7000"), netpool.Dial(netpool.Config{}))
//	...
//	err = netpool.Do(ctx, pool, func(c *netpool.Conn) error {
//		fmt.Fprintf(c, "GET %s\r\n", key)
//		value, err = c.ReadString('\n')
//		return err
//	})
//
// # Reading and writing
//
// A [Conn] is buffered in both directions. What is written is sent when the buffer
// is full, when the function begins to wait for an answer, and when it returns, so
// Flush is hardly ever needed. Several requests that are written before the first
// answer is read go out together. The function may ignore errors of writing:
// reading, or the end of the call, returns them again.
//
// # Time
//
// A call ends at the deadline of its context, or when [Config.Timeout] has passed,
// whichever is first. When its context is canceled, reading and writing return
// within a few milliseconds. No deadline is left behind. With [core.Attempts], an
// attempt is given up earlier, in time for another server, by how long calls of the
// function take: see [core.WithMethod].
//
// # Errors
//
// Return the errors of your protocol as they are: Do returns them unchanged, and
// they harm nobody. After the server has sent something, they count as answers
// ([balance.OutcomeOK]) and the connection serves the next call. Two kinds of errors
// want a word more:
//
//   - One that says that the function does not understand the answer should wrap
//     [ErrOutOfSync]: the server is at fault, and the connection is closed.
//   - One by which the server refuses work because it has too much to do is
//     [balance.OutcomeOverload], if [core.WithClassifier] says so; see the example
//     of [Classify].
//
// # When a connection is kept
//
// A connection serves the next call if the call before left it in sync: no reading
// or writing failed, no byte that had arrived was left unread, none was left
// unsent, and the function did not return an error before the answer to what it
// had sent. A function that returns an error after the first of several answers
// cannot be told from one that has read them all: let it read all, or wrap
// ErrOutOfSync. A function that returns nil without having read an answer has
// succeeded, and its connection is closed, since the answer could arrive in the next
// call; [Config.OneWay] is for protocols that have requests without answers.
//
// # Sessions
//
// What a call leaves in the session of its connection, the next call finds, whoever
// makes it. [Config.Reset] clears it in between:
//
//   - Redis keeps MULTI, WATCH, SELECT, SUBSCRIBE and CLIENT settings. Send RESET
//     (Redis 6.2; it logs out, so log in again), or DISCARD and UNWATCH where calls
//     use nothing but transactions.
//   - PostgreSQL keeps open transactions, SET, LISTEN, prepared statements, advisory
//     locks and temporary tables. Send ROLLBACK and then DISCARD ALL.
//   - memcached has no session, and needs no Reset. Its "noreply" and quiet commands
//     need OneWay, or a command with an answer behind them in the same call.
//
// A reset costs a round trip, in the background. It may return nil at once where
// [Conn.Session] says that there is nothing to reset.
//
// # Connections that their server has closed
//
// Before each lease the pool looks at the socket of the connection, for less than a
// microsecond. If the server has closed it, or sent something unasked, another
// connection is taken. [core.ValidateAfterIdle] can make that rarer: it is 0 by
// default for connections of this package, and one second where looking has to wait
// (Windows). What remains is the server that dies during a call: [core.Attempts] is
// for calls that may be made twice.
//
// A server may also accept a connection and then refuse to serve it, as Redis and
// PostgreSQL do when they have too many. Let [Config.Setup] end with a request that
// has an answer, such as PING or SELECT 1: then the refusal fails the dial, and no
// call.
package netpool
