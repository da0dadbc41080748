// Package netpool speaks any protocol over TCP or unix sockets, with or without
// TLS, through a pool of core. What is spoken is a function of yours; all about
// the connection is done for you.
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
// A [Conn] is buffered in both directions. What was written is sent when the
// buffer is full, when the function begins to wait for an answer, and when it
// returns, so Flush is hardly ever needed; several requests that are written
// before the first answer is read go out together. Errors of writing may be
// ignored: reading, or the end of the call, tells them again.
//
// # Time
//
// A call ends at the deadline of its context, or when [Config.Timeout] has passed,
// whichever is first. When its context is cancelled, what blocks in reading or
// writing returns within a few milliseconds. No deadline is left behind.
//
// # When a connection is kept
//
// A connection serves the next call if the call before left it in order: no
// reading or writing failed, no byte that had arrived was left unread and none
// unsent, and the pool's classifier takes the error of the function, if there is
// one, for [core.OK] or [core.Overload]. The default classifier does so with nil
// only. If a server answers with errors of the application, return them and tell
// the classifier what they look like:
//
//	core.WithClassifier(func(err error) core.Class {
//		var said *ServerError
//		if errors.As(err, &said) {
//			return core.OK
//		}
//		return netpool.Classify(err)
//	})
//
// # Connections that their server has closed
//
// Before a connection is leased that was idle for [core.CheckAfter], by default a
// second, a look at its socket tells whether the server has closed it, or sent
// something unasked; then another is taken. With core.CheckAfter(0) that is done
// before every call, for less than a microsecond. What remains is the server that
// dies during a call: [core.Retry] is for calls that may be made twice.
package netpool
