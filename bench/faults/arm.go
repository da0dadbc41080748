package main

import (
	"context"
	"io"
	"time"
)

// arm is one way to reach the servers.
type arm struct {
	name string
	open func(addrs []string) (way, error)
}

// way is an open arm, for all callers.
type way interface {
	// ask makes a call and returns the address of the server that answers.
	ask(ctx context.Context) (addr string, err error)
	io.Closer
}

// The arms that are this project's pool, in every protocol.
const (
	idempotent    = "multipool, idempotent"
	hedged        = "multipool, hedged"
	notIdempotent = "multipool, not idempotent"
)

// attempt bounds each attempt of the arms that make several.
const attempt = 100 * time.Millisecond

// closing is the Close method of a pool, which waits for its calls.
type closing func(context.Context) error

func (c closing) Close() error { return c(context.Background()) }
