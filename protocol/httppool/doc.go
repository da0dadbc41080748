// Package httppool sends HTTP requests through pools of core. The host of a URL
// names a service, and each request goes to the server of that service that is
// best placed to answer.
//
//	client, err := httppool.NewClient(map[string]core.Watcher{
//		"users":  zk.Watcher([]string{"10.0.0.1:2181"}, "/services/users"),
//		"orders": static.Watcher("10.0.0.2:8080", "10.0.0.3:8080"),
//	})
//	...
//	resp, err := client.Get("http://users/42")
//	...
//	err = client.Close(ctx)
//
// [NewClient] makes a pool for each host, and the [Client] that it returns is an
// [http.Client]. [OpenClient] takes URLs of registries instead of watchers. Both
// take the options of three things: of the requests (an [Option], such as
// [Attempts] or [WithHedged]), of the pools ([WithPool]) and of the connections
// ([WithConfig]); [WithHost] gives options for one host.
//
//	httppool.OpenClient(&mux, urls,
//		httppool.Attempts(2),
//		httppool.WithPool(core.MaxActive(32)),
//		httppool.WithHost("billing", httppool.WithConfig(httppool.Config{TLS: conf})))
//
// Programs that make their pools themselves register them with a [Transport]:
//
//	pool, err := core.New(watcher, httppool.Dial(httppool.Config{}))
//	...
//	var transport httppool.Transport
//	err = transport.Register("users", pool)
//	...
//	client := transport.Client()
//
// The Transport chooses the server of each request, by the pool's balancer, and
// sends the request on a connection leased to it. net/http speaks on the
// connection: each [Conn] is an [http.ClientConn]. So redirects, cookies,
// trailers, early hints, "Expect: 100-continue", transparent gzip and the hooks
// of httptrace work as with an [http.Transport], except for those of dials, which
// belong to no request. There are no proxies.
//
// # Protocols
//
// A pool speaks HTTP/1.1 or HTTP/2, with TLS or without, as its [Config] says. On
// HTTP/2 up to 100 requests share a connection; [core.MaxConcurrentCalls] sets
// another number.
//
// With TLS, URLs begin with https, and each server must prove the name that
// [Config.ServerName] returns, or else TLS.ServerName, or else the host of its own
// address, which the registry chooses.
//
// # Limits, and the end of a lease
//
// [core.MaxActive] and [core.MaxTotal] bound the connections. A request waits for
// a connection while its context lasts. The connection is leased until the body
// of the response was read to its end or closed, whichever is first. On HTTP/1.1 a
// body that is not read to its end costs its connection, as with net/http. A body
// that is never closed keeps its place in the pool, which
// [core.LeakDetectionThreshold] reports.
//
// After a 101 the body is an io.ReadWriteCloser with a CloseWrite: the connection
// itself, which is leased until the body is closed.
//
// # Time
//
// The context of a request, or the Timeout of an http.Client, ends the request at
// any stage; but where the reader of its body blocks, over HTTP/1.1 only when that
// returns, as with net/http. [Config.Timeout] bounds how long each server may do nothing before
// its response begins. A request that may be repeated is given up earlier, in time
// to go to another server, by how long responses to its method and path take: see
// [retry.Attempt.Until].
//
// # Repeated requests
//
// A request is sent again, up to [Attempts] times in all,
//
//   - always, if no server has processed it: the connection had ended before the
//     request was sent, or the server has refused the request or said goodbye by
//     the means of HTTP/2;
//   - if it is [Idempotent], and the connection broke, the response did not begin in
//     time, or the response makes its server fail or overloaded (408, 502, 503
//     and 504, see [WithClassifier]).
//
// In both cases the body of the request must be untouched or available again from
// GetBody, which http.NewRequest sets for the usual readers. The request goes to
// another server. If no other is available, the same one gets it again, unless it is
// overloaded; but a server that closes new connections without an answer gets two
// of them. Package retry has the rules, and the budget of the pool: repeated
// requests are at most a fifth of all, plus ten per second; a connection that had
// merely ended costs nothing of it. If all attempts fail, the caller gets the last
// response, or the last error. A response whose body does not end at once is kept
// until there is a connection to another server, for a tenth of a second; without
// one it is the caller's. Once a response has begun that is no failure, it is
// the caller's, even if its body breaks off.
//
// [WithHedged] sends a request a second time before it has failed, when it is
// late.
//
// # Servers that fail
//
// The pool learns each outcome when the response begins, and when its body breaks
// off. Outlier detection ejects servers that fail while others do not. A canceled
// request, or one whose own body fails, counts against nobody. A server that is
// overloaded and sends Retry-After gets no requests for that long, at most
// [MaxRetryAfter], as long as there are others.
//
// # Connections that their server has closed
//
// Before a request that must not be repeated is sent, a look at the socket tells
// whether the server has closed it. The look takes half a microsecond. Other
// requests look if the connection was idle for a millisecond, or if another
// connection has just broken. This needs Linux. Elsewhere net/http notices the
// end a little later.
//
// # Errors
//
// A request without a response is an [*Error], within the *url.Error of the
// client. It names the server, and says how many were tried. The errors of core,
// such as core.ErrNoEndpoint, and of the network are in it.
//
// The package needs Go 1.26 or later, for [http.ClientConn]; with an earlier
// version it is empty.
package httppool
