package core

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/minicaptain/multi_connection_pool/internal/ctxerr"
)

func (p *pool) close(ctx context.Context) error {
	p.mu.Lock()
	first := !p.closing
	p.closing = true
	p.mu.Unlock()
	if first {
		// It ends when all has ended, and closes done.
		go p.teardown()
	}
	select {
	case <-p.done:
		return nil
	default:
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
	}
	c := p.counts()
	p.mu.Lock()
	select {
	case <-p.cut:
	default:
		close(p.cut)
	}
	p.mu.Unlock()
	late := 0
	for _, o := range p.cfg.observers {
		late += o.late()
	}
	return fmt.Errorf("core: close: %w with %d connections leased (now cut off), %d being dialed, %d being closed, %d calls of observers under way",
		ctxerr.Of(ctx), c.InUse, c.Dialing, c.Closing, late)
}

// teardown ends everything in the order of use: the sources of change, the
// calls that wait, the connections.
func (p *pool) teardown() {
	p.stop()
	last := p.closeView()
	p.queue.wakeAll()
	p.announce()
	for _, s := range last.subs {
		p.drain(s, 0)
	}
	p.loops.Wait()
	p.tasks.Done() // from here on only what is under way may begin more
	p.tasks.Wait()
	for _, o := range p.cfg.observers {
		o.wait()
	}
	close(p.done)
}

// drain empties a sub-pool that no snapshot has any more. After timeout, if it is
// not zero, or when the pool's own time is over, what is left is cut.
func (p *pool) drain(s *subpool, timeout time.Duration) {
	// Up until the sub-pool is empty: a release that saw its connection as
	// usable just before must look again.
	p.queue.awaited.Add(1)
	s.drain()
	select {
	case <-s.empty:
		p.forget(s)
		p.queue.awaited.Add(-1)
		return
	default:
	}
	p.tasks.Go(func() {
		defer func() {
			p.forget(s)
			p.queue.awaited.Add(-1)
		}()
		var over <-chan time.Time
		if timeout > 0 {
			t := time.NewTimer(timeout)
			defer t.Stop()
			over = t.C
		}
		select {
		case <-s.empty:
			return
		case <-over:
		case <-p.cut:
		}
		s.cut(errDrained)
		<-s.empty
	})
}

var errDrained = errors.New("core: the endpoint left the set and its time to drain is over")
