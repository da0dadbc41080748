// Package httppool sends HTTP requests through pools of core: an
// [http.RoundTripper] for which the host of a URL is the name of a pool.
//
//	pool, err := core.New(watcher, httppool.Dial(httppool.Config{}))
//	...
//	var t httppool.Transport
//	err = t.Register("users", pool)
//	...
//	client := t.Client() // an *http.Client
//	resp, err := client.Get("http://users/42")
//
// The [Transport] chooses the server of each request, by the pool's balancer, and
// the request is sent on a connection leased to it. What is spoken on the
// connection is net/http's: each [Conn] is a [http.ClientConn]. So redirects,
// cookies, trailers, early hints, "Expect: 100-continue", transparent gzip and
// the hooks of httptrace are as with an [http.Transport]; there are no proxies.
//
// # Protocols
//
// A pool speaks HTTP/1.1 or HTTP/2, with TLS or without, as its [Config] says.
// On HTTP/2 a connection carries many requests at once: tell the pool how many
// by [core.Share].
//
//	core.New(watcher, httppool.Dial(httppool.Config{HTTP2: true, TLS: conf}), core.Share(100))
//
// With TLS, URLs begin with https, and each server must prove to be what
// [Config.ServerName] says, or else the host of its own address.
//
// # Limits, and the end of a lease
//
// [core.MaxActive] and [core.MaxTotal] bound the connections; a request waits for
// one while its context lasts. The connection is leased until the body of the
// response was read to its end or closed, whichever is first. A body that is not
// read to its end costs a connection of HTTP/1.1, as ever; one that is never
// closed costs its place in the pool, which [core.LeakAfter] reports.
//
// After a 101 the body is an io.ReadWriteCloser with a CloseWrite, and is the
// connection itself, which is leased until that is closed.
//
// # Time
//
// The context of a request, or the Timeout of an http.Client, ends it at any
// stage. [Config.Timeout] is for each server that it is sent to: so long may the
// server do nothing before the response begins. Where a request may be repeated,
// another server gets it then, which needs a Timeout well below the deadline.
//
// # Repeated requests
//
// A request is sent again, up to [Attempts] times in all,
//
//   - always, if no server has looked at it: the connection had ended before it
//     was sent, or the server has refused it or said goodbye by the means of
//     HTTP/2;
//   - if it is [Idempotent], and the connection broke, [Config.Timeout] has
//     passed, or the response is one that makes its server [core.Failure] or
//     [core.Overload] (502, 503 and 504, see [ClassifyFunc]);
//
// in both cases only if its body is as new as it was or can be had again, by
// GetBody, which http.NewRequest sets for the usual readers; on another server,
// unless there is none and the first may be well; and within the pool's budget,
// see [core.Pool.AllowRetry], unless the connection had merely ended. If all
// fails the caller gets the last response, or the last error. Once a response
// has begun that is no failure it is the caller's, whatever becomes of it.
//
// A request that is [Hedged] is sent a second time before it has failed: when it
// is late.
//
// # Servers that fail
//
// The balancer is told of every outcome, when the response begins, and when its
// body breaks off; servers that fail while others do not are ejected. A
// cancelled request, or one whose own body fails, is nobody's fault. A server
// that is overloaded and says Retry-After gets no requests for so long, at most
// [MaxPause], as long as there are others.
//
// # Connections that their server has closed
//
// Before a request that must not be repeated is sent, a look at the socket tells
// whether the server has closed it, for half a microsecond; others look if the
// connection was idle for a millisecond, or another has just broken. This needs
// Linux. Elsewhere it is known when net/http was told, a little later.
//
// # Errors
//
// A request without a response is an [*Error], within the *url.Error of the
// client: it names the server, and how many were tried. The errors of core, such
// as core.ErrNoEndpoint, and of the network are in it.
package httppool
