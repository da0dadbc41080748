package main

import (
	"context"
	"fmt"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/netpool"
)

// Client is a client of Redis. It is safe for concurrent use.
type Client struct{ pool *core.Pool[*netpool.Conn] }

// Open returns a client of the servers that w names. It dials nothing yet. Each new
// connection logs in if there is a password.
func Open(w core.Watcher, password string, opts ...core.Option) (*Client, error) {
	conf := netpool.Config{
		Ping: func(c *netpool.Conn) error { return command(c, "PING") },
	}
	if password != "" {
		conf.Setup = func(c *netpool.Conn) error { return command(c, "AUTH", password) }
	}
	// ValidateAfterIdle(0): look at each connection before a call, whether the server has closed it.
	pool, err := core.New(w, netpool.Dial(conf), append([]core.Option{core.ValidateAfterIdle(0)}, opts...)...)
	return &Client{pool}, err
}

// Do sends one command and returns its reply: a string, an int64, nil, or a []any of
// these. A refusal is an [Error].
func (cl *Client) Do(ctx context.Context, args ...string) (reply any, err error) {
	replies, err := cl.Pipeline(ctx, args)
	if err != nil {
		return nil, err
	}
	if refusal, ok := replies[0].(Error); ok {
		return nil, refusal
	}
	return replies[0], nil
}

// Pipeline sends some commands at once, and returns their replies. One that was
// refused has an [Error] for a reply: for the pool it is an answer like any other.
func (cl *Client) Pipeline(ctx context.Context, commands ...[]string) (replies []any, err error) {
	err = netpool.Do(ctx, cl.pool, func(c *netpool.Conn) error {
		replies = nil
		for _, args := range commands {
			write(c, args)
		}
		for range commands {
			reply, err := read(c)
			if err != nil {
				return err
			}
			replies = append(replies, reply)
		}
		return nil
	})
	return replies, err
}

// Close ends the client.
func (cl *Client) Close(ctx context.Context) error { return cl.pool.Close(ctx) }

// command is for what every connection does. Its reply is not looked at, unless it
// is a refusal.
func command(c *netpool.Conn, args ...string) error {
	write(c, args)
	reply, err := read(c)
	if refusal, ok := reply.(Error); ok && err == nil {
		err = fmt.Errorf("%s: %w", args[0], refusal)
	}
	return err
}
