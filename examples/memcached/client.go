package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/netpool"
)

// ErrMiss means that no server holds the key.
var ErrMiss = errors.New("memcached: no such key")

// Client is a client of memcached servers that share the keys among them: each key
// has its server, and when servers come or go, few keys move. It is safe for
// concurrent use.
type Client struct{ pool *core.Pool[*netpool.Conn] }

// Open returns a client of the servers that w names. It dials nothing yet.
func Open(w core.Watcher, opts ...core.Option) (*Client, error) {
	pool, err := core.New(w, netpool.Dial(netpool.Config{
		// A server that has too many clients answers nothing.
		Setup: func(c *netpool.Conn) error {
			fmt.Fprint(c, "version\r\n")
			line, err := c.ReadString('\n')
			if err == nil && !strings.HasPrefix(line, "VERSION ") {
				err = refusal("version", line)
			}
			return err
		},
	}), opts...)
	return &Client{pool}, err
}

// Set stores a value for a key.
func (cl *Client) Set(ctx context.Context, key, value string) error {
	if err := check(key); err != nil {
		return err
	}
	return netpool.Do(ctx, cl.pool, func(c *netpool.Conn) error {
		fmt.Fprintf(c, "set %s 0 0 %d\r\n%s\r\n", key, len(value), value)
		line, err := c.ReadString('\n')
		if err == nil && line != "STORED\r\n" {
			err = refusal("set", line)
		}
		return err
	}, core.WithKey(key))
}

// Get returns the value of a key, or [ErrMiss].
func (cl *Client) Get(ctx context.Context, key string) (value string, err error) {
	if err := check(key); err != nil {
		return "", err
	}
	found := false
	// Attempts: to get twice does no harm.
	err = netpool.Do(ctx, cl.pool, func(c *netpool.Conn) error {
		fmt.Fprintf(c, "get %s\r\n", key)
		value, found, err = readValue(c)
		return err
	}, core.WithKey(key), core.Attempts(2))
	if err == nil && !found {
		err = ErrMiss
	}
	return value, err
}

// Close ends the client.
func (cl *Client) Close(ctx context.Context) error { return cl.pool.Close(ctx) }

// readValue reads "VALUE <key> <flags> <bytes>", the bytes and "END", or just "END".
func readValue(c *netpool.Conn) (value string, found bool, err error) {
	line, err := c.ReadString('\n')
	if err != nil || line == "END\r\n" {
		return "", false, err
	}
	word := strings.Fields(line)
	if len(word) != 4 || word[0] != "VALUE" {
		return "", false, refusal("get", line)
	}
	n, err := strconv.ParseUint(word[3], 10, 30)
	if err != nil {
		return "", false, refusal("get", line)
	}
	const end = "\r\nEND\r\n"
	b := make([]byte, int(n)+len(end))
	if _, err := io.ReadFull(c, b); err != nil {
		return "", false, err
	}
	value, found = strings.CutSuffix(string(b), end)
	if !found {
		return "", false, fmt.Errorf("memcached: a value does not end where it should: %w", netpool.ErrOutOfSync)
	}
	return value, true, nil
}

// refusal is the error for a line that is no success. After SERVER_ERROR the
// server waits for the next command; where the next reply begins after any other
// line is unknown.
func refusal(command, line string) error {
	if strings.HasPrefix(line, "SERVER_ERROR ") {
		return fmt.Errorf("memcached: %s: %s", command, strings.TrimSpace(line))
	}
	return fmt.Errorf("memcached: %s: %q: %w", command, line, netpool.ErrOutOfSync)
}

// check refuses keys that the protocol cannot carry.
func check(key string) error {
	const longest = 250
	if key == "" || len(key) > longest || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return fmt.Errorf("memcached: %q cannot be a key", key)
	}
	return nil
}
