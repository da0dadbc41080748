package main

import "context"

// channelPool is the pool people write by hand: a buffered channel, full of connections.
type channelPool chan *conn

func openChannel(f *fleet, d demand) (contender, error) {
	ch := make(channelPool, d.capacity())
	for range cap(ch) {
		ch <- f.open()
	}
	return ch, nil
}

// get tries without waiting first, since a select of one case is much cheaper than one of two.
func (ch channelPool) get(ctx context.Context) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case c := <-ch:
		return c, nil
	default:
	}
	select {
	case c := <-ch:
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (ch channelPool) cycle(ctx context.Context, n int) error {
	for range n {
		c, err := ch.get(ctx)
		if err != nil {
			return err
		}
		if err := c.use(); err != nil {
			return err
		}
		ch <- c
	}
	return nil
}

func (ch channelPool) hold(ctx context.Context, during func()) error {
	c, err := ch.get(ctx)
	if err != nil {
		return err
	}
	if err := c.use(); err != nil {
		return err
	}
	during()
	ch <- c
	return nil
}

func (ch channelPool) close() error {
	for range cap(ch) {
		_ = (<-ch).Close()
	}
	return nil
}
