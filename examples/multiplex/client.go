package main

import (
	"context"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

// Client calls some servers, over one or two connections to each of them. It is safe
// for concurrent use.
type Client struct{ pool *core.Pool[*Conn] }

// Open returns a client of the servers that w names. Up to callers of them share a
// connection; a second one is opened when there are more.
func Open(w core.Watcher, callers int) (*Client, error) {
	pool, err := core.New(w, core.DialFunc[*Conn](dial),
		core.MaxConcurrentCalls(callers),
		core.MaxActive(2),
		core.ValidateAfterIdle(0), // Peek costs next to nothing here
	)
	return &Client{pool}, err
}

// Call sends a request to one of the servers and returns its reply.
//
// The pool's Do would close the connection when a caller gives up, since on most
// connections the reply of one call is then in the way of the next. Here it is not,
// so Call leases by itself: it gives back a connection that works, however the call
// went.
func (cl *Client) Call(ctx context.Context, request string) (string, error) {
	lease, err := cl.pool.Get(ctx)
	if err != nil {
		return "", err
	}
	begun := time.Now()
	reply, err := lease.Conn().Call(ctx, request)
	lease.Report(balance.Report{Outcome: core.Classify(err), Latency: time.Since(begun)})
	if broken := lease.Conn().Peek(); broken != nil {
		_ = lease.Discard(broken) // closed when its last caller has left
	} else {
		_ = lease.Release()
	}
	return reply, err
}

// Close ends the client.
func (cl *Client) Close(ctx context.Context) error { return cl.pool.Close(ctx) }
