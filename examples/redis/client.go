package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/netpool"
)

// Client is a client of Redis. It is safe for concurrent use.
type Client struct{ pool *core.Pool[*netpool.Conn] }

// Open returns a client of the servers that w names. It dials nothing yet. Each new
// connection logs in if there is a password.
func Open(w core.Watcher, password string, opts ...core.Option) (*Client, error) {
	ping := func(c *netpool.Conn) error { return command(c, "PONG", "PING") }
	login := func(c *netpool.Conn) error {
		if password == "" {
			return nil
		}
		return command(c, "OK", "AUTH", password)
	}
	pool, err := core.New(w, netpool.Dial(netpool.Config{
		// PING: a server that has too many clients answers it with a refusal.
		Setup: func(c *netpool.Conn) error { return errors.Join(login(c), ping(c)) },
		Ping:  ping,
		Reset: func(c *netpool.Conn) error {
			if c.Session == nil {
				return nil
			}
			c.Session = nil
			return errors.Join(command(c, "RESET", "RESET"), login(c))
		},
	}), opts...)
	return &Client{pool}, err
}

// changesSession reports whether a command leaves something in its connection that
// the next caller must not find.
func changesSession(command string) bool {
	switch strings.ToUpper(command) {
	case "MULTI", "WATCH", "SELECT", "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR", "CLIENT", "AUTH", "HELLO", "READONLY":
		return true
	default:
		return false
	}
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
			if len(args) > 0 && changesSession(args[0]) {
				c.Session = args[0]
			}
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

// command is for what every connection does. Any reply but the expected one is an
// error.
func command(c *netpool.Conn, want string, args ...string) error {
	write(c, args)
	reply, err := read(c)
	switch refusal, refused := reply.(Error); {
	case err != nil:
		return err
	case refused:
		return fmt.Errorf("%s: %w", args[0], refusal)
	case reply != want:
		return noReply("%v to %s", reply, args[0])
	default:
		return nil
	}
}
