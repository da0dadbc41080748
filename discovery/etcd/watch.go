package etcd

import (
	"context"
	"errors"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// position is a revision of one cluster's key-value store.
type position struct {
	cluster  uint64 // 0 if etcd's gRPC proxy answers by itself
	revision int64
}

func positionOf(h *pb.ResponseHeader) position {
	return position{h.GetClusterId(), h.GetRevision()}
}

// maxQueued is how many changes of a watch may wait for its user, and
// maxQueuedBytes how large they may be. A watch with more fails: listing the keys
// again costs less.
const (
	maxQueued      = 20_000
	maxQueuedBytes = 16 << 20
)

// watch is one watch of keys. It ends at the first sign that it may miss a
// change. Its user then lists the keys again.
type watch struct {
	stream   *stream
	key, end string
	probe    bool          // only a request for a sign of life
	wake     chan struct{} // something has changed for the user

	// Guarded by client.mu.
	at        position // of the list, then of the last change
	settled   int64    // at.revision when the last sign of life was requested, which the server must have reached
	confirmed bool
	id        int64
	closed    bool
	queue     []*pb.WatchResponse
	queued    int   // number of changes in queue
	bytes     int   // of keys and values in queue
	err       error // after the queue
}

// openWatch watches the keys from key to before end, or key alone if end is
// empty, and begins with the first change after the position. It returns when
// etcd has confirmed the watch. The caller closes it.
func (c *client) openWatch(ctx context.Context, key, end string, after position) (*watch, error) {
	renewed := false
	for learners := 0; ; {
		w := c.addWatch(key, end, after)
		err := w.awaitConfirmation(ctx)
		if err == nil {
			return w, nil
		}
		w.close()
		// A stream keeps the token that it began with. etcd 3.4 says "permission
		// denied" when the token has expired.
		stale := needsLogin(err) || errors.Is(err, rpctypes.ErrPermissionDenied)
		switch {
		case errors.Is(err, errLearner) && learners < maxLearners:
			learners++
		case c.user != "" && stale && !renewed:
			renewed = true
			if err := c.renewStream(ctx, w.stream); err != nil {
				return nil, err
			}
		default:
			return nil, err
		}
	}
}

func (c *client) addWatch(key, end string, after position) *watch {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.shared()
	w := &watch{stream: s, key: key, end: end, at: after, wake: make(chan struct{}, 1)}
	s.waiting = append(s.waiting, w)
	s.wakeUp()
	return w
}

// renewStream makes the next watch begin a stream with a new token. The watches
// of the old stream stay.
func (c *client) renewStream(ctx context.Context, old *stream) error {
	err := c.call(ctx, func(ctx context.Context) error { return c.renewToken(ctx, old.token) })
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stream == old {
		c.stream = nil
	}
	return err
}

func (w *watch) awaitConfirmation(ctx context.Context) error {
	mu := &w.stream.client.mu
	for {
		mu.Lock()
		confirmed, err := w.confirmed, w.err
		mu.Unlock()
		if confirmed || err != nil {
			return err
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// next returns the next answer, unless ctx has ended.
func (w *watch) next(ctx context.Context) (*pb.WatchResponse, error) {
	mu := &w.stream.client.mu
	for {
		if err := ctx.Err(); err != nil { // answers may never cease
			return nil, err
		}
		mu.Lock()
		if len(w.queue) > 0 {
			answer := w.queue[0]
			w.queue = w.queue[1:]
			w.queued -= len(answer.Events)
			w.bytes -= sizeOf(answer)
			mu.Unlock()
			return answer, nil
		}
		err := w.err
		mu.Unlock()
		if err != nil {
			return nil, err
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// close ends the watch.
func (w *watch) close() {
	s := w.stream
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	w.closed = true
	if s.err != nil {
		return
	}
	if s.watches[w.id] == w {
		delete(s.watches, w.id)
		s.cancels = append(s.cancels, w.id)
		s.wakeUp()
	}
	s.endIfUnused()
}

// confirm notes that etcd has begun the watch. It may lag behind the server
// that answered the list. The caller holds client.mu.
func (w *watch) confirm(answer *pb.WatchResponse) {
	w.id = answer.WatchId
	now := positionOf(answer.Header)
	if err := w.check(position{now.cluster, max(now.revision, w.at.revision)}); err != nil {
		w.fail(err)
		return
	}
	w.confirmed = true
	w.notify()
}

// receive takes an answer. The caller holds client.mu.
func (w *watch) receive(answer *pb.WatchResponse) {
	if w.err != nil {
		return
	}
	now := positionOf(answer.Header)
	switch err := w.check(now); {
	case answer.Canceled || answer.CompactRevision != 0:
		w.fail(refusal(answer))
	case err != nil:
		w.fail(err)
	case len(w.queue) > 0 && (w.queued+len(answer.Events) > maxQueued || w.bytes+sizeOf(answer) > maxQueuedBytes):
		w.fail(fmt.Errorf("more than %d changes, or %d bytes, wait to be taken", maxQueued, maxQueuedBytes))
	default:
		if now.cluster != 0 {
			w.at = now
		}
		w.queue = append(w.queue, answer)
		w.queued += len(answer.Events)
		w.bytes += sizeOf(answer)
		w.notify()
	}
}

// sizeOf returns how many bytes the keys and values of an answer have.
func sizeOf(answer *pb.WatchResponse) (n int) {
	for _, e := range answer.Events {
		n += len(e.GetKv().GetKey()) + len(e.GetKv().GetValue())
	}
	return n
}

// check returns an error if now is not a later position of the same store.
func (w *watch) check(now position) error {
	switch {
	case now.cluster == 0 || w.at.cluster == 0:
		return nil
	case now.cluster != w.at.cluster:
		return fmt.Errorf("the answer is from cluster %x, the list is from %x", now.cluster, w.at.cluster)
	case now.revision < w.at.revision:
		return fmt.Errorf("etcd went back from revision %d to %d", w.at.revision, now.revision)
	default:
		return nil
	}
}

// fail ends the watch for its user. The caller holds client.mu.
func (w *watch) fail(err error) {
	if w.err == nil {
		w.err = err
		w.notify()
	}
}

func (w *watch) notify() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}
