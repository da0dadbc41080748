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
// within a few milliseconds. No deadline is left behind.
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
// ErrOutOfSync.
//
// # Connections that their server has closed
//
// The pool looks at the socket of a connection that was idle for
// [core.ValidateAfterIdle], by default a second, before it leases it. If the server
// has closed it, or sent something unasked, another connection is taken. With
// core.ValidateAfterIdle(0) that is done before every call, for less than a
// microsecond. What remains is the server that dies during a call: [core.Attempts]
// is for calls that may be made twice.
package netpool
