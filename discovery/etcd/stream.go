package etcd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// position is a revision of one cluster's key-value store.
type position struct {
	cluster  uint64
	revision int64
}

func positionOf(h *pb.ResponseHeader) position {
	return position{h.GetClusterId(), h.GetRevision()}
}

// stream is one watch of keys. It ends at the first sign that it may miss a
// change. Its user then lists the keys again.
type stream struct {
	pb.Watch_WatchClient
	ctx     context.Context //nolint:containedctx // the stream's lifetime
	cancel  context.CancelCauseFunc
	at      position
	timeout time.Duration

	waiting atomic.Bool  // next is waiting for an answer
	answers atomic.Int64 // number of answers received
	monitor sync.WaitGroup
}

// openStream watches the keys from key to before end, or key alone if end is
// empty, and begins with the first change after the position. The caller closes
// the stream.
func (c *client) openStream(ctx context.Context, key, end string, after position) (*stream, error) {
	s := &stream{at: after, timeout: c.timeout}
	// Without RequireLeader, a server that has lost its leader stays silent.
	s.ctx, s.cancel = context.WithCancelCause(clientv3.WithRequireLeader(ctx))
	late := time.AfterFunc(c.timeout, func() { s.cancel(errSilent) })
	defer late.Stop()
	var err error
	//nolint:contextcheck // it is derived from ctx
	if s.Watch_WatchClient, err = c.watch.Watch(s.ctx); err == nil {
		err = s.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
			Key: []byte(key), RangeEnd: []byte(end), StartRevision: after.revision + 1, Fragment: true,
		}}})
	}
	if err != nil {
		s.cancel(nil)
		return nil, s.cause(err)
	}
	s.monitor.Go(s.requestProgress) // ends with the context; close waits
	return s, nil
}

func (s *stream) close() {
	s.cancel(nil)
	s.monitor.Wait()
}

// next returns the next answer, which may have no event.
func (s *stream) next() (*pb.WatchResponse, error) {
	s.waiting.Store(true)
	answer, err := s.Recv()
	s.waiting.Store(false)
	if err != nil {
		return nil, s.cause(err)
	}
	s.answers.Add(1)
	switch {
	case answer.CompactRevision != 0:
		return nil, rpctypes.ErrCompacted
	case answer.Canceled && answer.CancelReason != "":
		return nil, classify(rpctypes.Error(errors.New(answer.CancelReason)))
	case answer.Canceled:
		return nil, errors.New("etcd canceled the watch")
	}
	now := positionOf(answer.Header)
	switch behind := now.revision < s.at.revision; {
	case now.cluster != s.at.cluster:
		return nil, fmt.Errorf("the answer is from cluster %x, the list is from %x", now.cluster, s.at.cluster)
	case behind && answer.Created: // by a server that lags behind the one that answered the list
	case behind:
		return nil, fmt.Errorf("etcd went back from revision %d to %d", s.at.revision, now.revision)
	default:
		s.at = now
	}
	return answer, nil
}

// errSilent is the cause of a stream's end if no answer comes in time.
var errSilent = errors.New("no answer from etcd")

// requestProgress requests a progress answer once per timeout, and ends the
// stream if none comes. Without it, a server that hangs, a proxy that has lost
// its server, and a server that has lost its data all look like a quiet one.
func (s *stream) requestProgress() {
	tick := time.NewTicker(s.timeout)
	defer tick.Stop()
	seen := int64(0) // the first answer confirms the watch
	for {
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			return
		}
		now := s.answers.Load()
		switch {
		case now != seen:
			seen = now
			_ = s.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}})
		case s.waiting.Load():
			s.cancel(errSilent)
			return
		default: // the user has not asked for the next answer yet
		}
	}
}

// cause returns the reason for an error of gRPC.
func (s *stream) cause(err error) error {
	if cause := context.Cause(s.ctx); errors.Is(cause, errSilent) {
		return fmt.Errorf("%w for %v", errSilent, s.timeout)
	}
	return classify(rpctypes.Error(err))
}
