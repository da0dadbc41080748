package main

import (
	"bufio"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// Conn is a connection that many callers use at once. It is safe for concurrent use.
type Conn struct {
	nc net.Conn

	write sync.Mutex // one frame at a time; taken before mu

	mu      sync.Mutex
	last    uint64                 // number of the last request
	waiting map[uint64]chan string // those who wait for a reply, by its number
	broken  error                  // why there will be no more replies; nil = there may be

	read sync.WaitGroup // the goroutine that reads
}

// dial is a [core.DialFunc].
func dial(ctx context.Context, e core.Endpoint) (*Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", e.Addr)
	if err != nil {
		return nil, err
	}
	c := &Conn{nc: nc, waiting: map[uint64]chan string{}}
	c.read.Go(c.receive) // Close ends it and waits
	return c, nil
}

// Call sends a request and waits for its reply. A caller whose context ends leaves,
// and harms nobody: when the reply comes, nobody waits for it.
func (c *Conn) Call(ctx context.Context, request string) (reply string, err error) {
	id, replied, err := c.enter()
	if err != nil {
		return "", err
	}
	defer c.leave(id)
	if err := c.send(id, request); err != nil {
		return "", err
	}
	select {
	case reply, ok := <-replied:
		if !ok {
			return "", c.Peek()
		}
		return reply, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// Peek implements [core.Peeker]: it says that the connection is broken as soon as
// that is known. It is called beside calls.
func (c *Conn) Peek() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken
}

// Close ends the connection, and the calls on it. The pool calls it when there are
// none any more, unless it has waited for too long.
func (c *Conn) Close() error {
	err := c.nc.Close()
	c.read.Wait()
	return err
}

// enter makes a caller one of those who wait.
func (c *Conn) enter() (id uint64, replied chan string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		return 0, nil, c.broken
	}
	c.last++
	replied = make(chan string, 1) // receive never waits for a caller
	c.waiting[c.last] = replied
	return c.last, replied, nil
}

func (c *Conn) leave(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, id)
}

// send writes a request. A server that does not read for long has failed; a frame
// that is half sent ends the connection.
func (c *Conn) send(id uint64, request string) error {
	const patience = 5 * time.Second
	c.write.Lock()
	defer c.write.Unlock()
	if err := c.nc.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	err := writeFrame(c.nc, id, request)
	if _, ok := errors.AsType[net.Error](err); ok {
		_ = c.nc.Close() // which ends receive, and that all who wait
	}
	return err
}

// receive hands each reply to the caller who waits for it, until the connection ends.
func (c *Conn) receive() {
	r := bufio.NewReader(c.nc)
	for {
		id, reply, err := readFrame(r)
		c.mu.Lock()
		if err != nil {
			c.broken = err
			for _, replied := range c.waiting {
				close(replied)
			}
			c.mu.Unlock()
			_ = c.nc.Close()
			return
		}
		if replied := c.waiting[id]; replied != nil {
			replied <- reply
			delete(c.waiting, id)
		}
		c.mu.Unlock()
	}
}
