package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// errSilent is the cause of a stream's end if no answer comes in time.
var errSilent = errors.New("no answer from etcd")

// maxDelays is how many times in a row the answer to a request may be late
// while other answers come.
const maxDelays = 4

// stream is a call of Watch, which all watches share that a client opens while
// it lasts: a server may limit the number of calls on a connection. It ends with
// its last watch, and at the first sign that it may miss a change; its watches
// then fail.
//
// The server is asked for one watch at a time, because etcd's gRPC proxy
// confirms several in any order.
//
// Once per timeout, the stream requests a sign of life. Without it, a server that
// hangs, a proxy that has lost its server, and a server that has lost its data
// all look like a quiet one. The sign is the confirmation of one more watch,
// which is canceled at once. Progress answers, which exist for it, do not come
// from etcd's gRPC proxy at all, and since etcd 3.5.22, 3.6.2 and 3.7 not from a
// server whose revision is below the start of one of the watches: in a quiet
// cluster, that is each watch of what comes next.
type stream struct {
	client *client
	ctx    context.Context //nolint:containedctx // the stream's lifetime
	cancel context.CancelCauseFunc
	token  *string       // which the server knows the stream by
	wake   chan struct{} // something is there to be sent

	// Guarded by client.mu.
	watches map[int64]*watch // by id, those that are confirmed
	waiting []*watch         // to be asked for, or whose confirmation is awaited: the first, if asking
	asking  bool
	heard   bool    // an answer has come since the timer was started
	delays  int     // of the confirmation that is awaited
	cancels []int64 // watches to be canceled
	err     error   // why the stream has ended
}

// shared returns the stream for new watches. The caller holds c.mu.
func (c *client) shared() *stream {
	if c.stream == nil {
		s := &stream{client: c, token: c.token.Load(), wake: make(chan struct{}, 1), watches: make(map[int64]*watch)}
		// Without RequireLeader, a server that has lost its leader stays silent.
		s.ctx, s.cancel = context.WithCancelCause(clientv3.WithRequireLeader(c.ctx))
		c.stream = s
		c.running.Go(s.run) // it ends with the stream's context; release waits
	}
	return c.stream
}

// run opens the stream, and receives and sends until it ends.
func (s *stream) run() {
	opened := make(chan pb.Watch_WatchClient, 1)
	s.client.running.Go(func() { s.send(opened) })
	rpc, err := s.client.watch.Watch(s.ctx)
	if err == nil {
		opened <- rpc
	}
	for err == nil {
		var answer *pb.WatchResponse
		if answer, err = rpc.Recv(); err == nil {
			err = s.receive(answer)
		}
	}
	s.end(err)
}

// end fails all watches. Only the first call counts.
func (s *stream) end(err error) {
	c := s.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.err != nil {
		return
	}
	if errors.Is(context.Cause(s.ctx), errSilent) {
		err = fmt.Errorf("%w for %v", errSilent, c.timeout)
	}
	s.err = classify(rpctypes.Error(err))
	s.cancel(nil)
	if c.stream == s {
		c.stream = nil
	}
	for _, w := range s.watches {
		w.fail(s.err)
	}
	for _, w := range s.waiting {
		w.fail(s.err)
	}
}

// send sends requests, one for a sign of life per timeout among them. It ends
// the stream if the answer to a request is late.
func (s *stream) send(opened <-chan pb.Watch_WatchClient) {
	tick := time.NewTicker(s.client.timeout)
	defer tick.Stop()
	var rpc pb.Watch_WatchClient
	for {
		select {
		case rpc = <-opened:
			tick.Reset(s.client.timeout)
		case <-s.wake:
		case <-tick.C:
			if !s.alive() {
				s.cancel(errSilent) // which ends run
				return
			}
		case <-s.ctx.Done():
			return
		}
		for rpc != nil {
			request, asks := s.nextRequest()
			if request == nil {
				break
			}
			if asks {
				tick.Reset(s.client.timeout)
			}
			if rpc.Send(request) != nil {
				return // Recv returns the error
			}
		}
	}
}

// alive is called once per timeout. It reports false if the answer to a request
// is late, and else asks for a sign of life.
func (s *stream) alive() bool {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	if len(s.waiting) > 0 {
		s.delays++
		late := !s.heard || s.delays == maxDelays
		s.heard = false
		return !late
	}
	for _, w := range s.watches {
		probe := &watch{stream: s, key: w.key, end: w.end, probe: true}
		for _, w := range s.watches {
			probe.at = position{w.at.cluster, max(probe.at.revision, w.settled)}
			w.settled = w.at.revision
		}
		s.waiting = append(s.waiting, probe)
		break
	}
	return true
}

// nextRequest returns what is to be sent, nil if nothing is, and whether the
// request asks for a watch.
func (s *stream) nextRequest() (r *pb.WatchRequest, asks bool) {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	for !s.asking && len(s.waiting) > 0 && s.waiting[0].closed {
		s.waiting = s.waiting[1:]
	}
	switch {
	case len(s.cancels) > 0:
		id := s.cancels[0]
		s.cancels = s.cancels[1:]
		return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: id}}}, false
	case len(s.waiting) > 0 && !s.asking:
		s.asking, s.heard, s.delays = true, false, 0
		w := s.waiting[0]
		create := &pb.WatchCreateRequest{Key: []byte(w.key), RangeEnd: []byte(w.end), Fragment: true}
		if !w.probe {
			create.StartRevision = w.at.revision + 1
		}
		return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}, true
	default:
		return nil, false
	}
}

// wakeUp makes send look for something to send.
func (s *stream) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// receive passes an answer on. It returns an error that concerns all watches.
func (s *stream) receive(answer *pb.WatchResponse) error {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	s.heard = true
	if !answer.Created {
		if w := s.watches[answer.WatchId]; w != nil {
			w.receive(answer)
		}
		return nil
	}
	if !s.asking {
		return errors.New("etcd confirms a watch that nobody asked for")
	}
	w := s.waiting[0]
	s.waiting, s.asking = s.waiting[1:], false
	s.wakeUp()
	switch {
	case !answer.Canceled && !w.probe && !w.closed:
		s.watches[answer.WatchId] = w
		w.confirm(answer)
	case !answer.Canceled:
		s.cancels = append(s.cancels, answer.WatchId)
	case !w.probe:
		w.fail(refusal(answer))
	}
	s.endIfUnused()
	if w.probe { // a refusal is a sign of life as well
		return w.check(positionOf(answer.Header))
	}
	return nil
}

// endIfUnused ends the stream if it has no watch. The caller holds client.mu.
func (s *stream) endIfUnused() {
	if len(s.watches) > 0 {
		return
	}
	for _, w := range s.waiting {
		if !w.probe && !w.closed {
			return
		}
	}
	if s.client.stream == s {
		s.client.stream = nil
	}
	s.cancel(nil)
}

// refusal returns why etcd has canceled a watch.
func refusal(answer *pb.WatchResponse) error {
	switch {
	case answer.CompactRevision != 0:
		return rpctypes.ErrCompacted
	case answer.CancelReason != "":
		return classify(rpctypes.Error(errors.New(answer.CancelReason)))
	default:
		return errors.New("etcd canceled the watch")
	}
}
