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

// position is a state of the key-value store: which cluster's, and which of
// its revisions.
type position struct {
	cluster  uint64
	revision int64
}

func at(h *pb.ResponseHeader) position { return position{h.GetClusterId(), h.GetRevision()} }

// stream is one watch of keys. It ends at the first sign that it may miss
// something, for its user to read the keys anew.
type stream struct {
	pb.Watch_WatchClient
	ctx     context.Context //nolint:containedctx // the life of the stream
	cancel  context.CancelCauseFunc
	at      position
	timeout time.Duration

	waiting atomic.Bool  // for the next answer
	answers atomic.Int64 // that have come
	guard   sync.WaitGroup
}

// open begins to watch the keys from key to before end, or key alone if end is
// empty, with what comes after position. Only close ends it.
func (c *client) open(ctx context.Context, key, end string, after position) (*stream, error) {
	s := &stream{at: after, timeout: c.timeout}
	// A server that has lost its leader would else be silent for ever.
	s.ctx, s.cancel = context.WithCancelCause(clientv3.WithRequireLeader(ctx))
	late := time.AfterFunc(c.timeout, func() { s.cancel(errSilent) })
	defer late.Stop()
	var err error
	//nolint:contextcheck // it is made of ctx
	if s.Watch_WatchClient, err = c.watch.Watch(s.ctx); err == nil {
		err = s.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
			Key: []byte(key), RangeEnd: []byte(end), StartRevision: after.revision + 1, Fragment: true,
		}}})
	}
	if err != nil {
		s.cancel(nil)
		return nil, s.why(err)
	}
	s.guard.Go(s.prod) // ends with the context; close waits
	return s, nil
}

func (s *stream) close() {
	s.cancel(nil)
	s.guard.Wait()
}

// next returns the next answer, which may have no event.
func (s *stream) next() (*pb.WatchResponse, error) {
	s.waiting.Store(true)
	answer, err := s.Recv()
	s.waiting.Store(false)
	if err != nil {
		return nil, s.why(err)
	}
	s.answers.Add(1)
	switch {
	case answer.CompactRevision != 0:
		return nil, rpctypes.ErrCompacted
	case answer.Canceled && answer.CancelReason != "":
		return nil, judge(rpctypes.Error(errors.New(answer.CancelReason)))
	case answer.Canceled:
		return nil, errors.New("etcd has cancelled the watch")
	}
	now := at(answer.Header)
	switch behind := now.revision < s.at.revision; {
	case now.cluster != s.at.cluster:
		return nil, fmt.Errorf("the answer is of cluster %x, not %x as before", now.cluster, s.at.cluster)
	case behind && answer.Created: // another server than the one before, which is not as far yet
	case behind:
		return nil, fmt.Errorf("etcd is at revision %d, and was at %d before", now.revision, s.at.revision)
	default:
		s.at = now
	}
	return answer, nil
}

var errSilent = errors.New("etcd does not answer")

// prod asks for a sign of life now and then, and ends the stream when there
// is none: neither a server that hangs nor a proxy whose server is gone says
// so, and one that lost its data is silent until it is asked where it is.
func (s *stream) prod() {
	tick := time.NewTicker(s.timeout)
	defer tick.Stop()
	seen := int64(0) // the first answer says that the watch exists
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
		default: // the user is slow to take what has come
		}
	}
}

// why returns the reason behind an error of gRPC.
func (s *stream) why(err error) error {
	if cause := context.Cause(s.ctx); errors.Is(cause, errSilent) {
		return fmt.Errorf("%w for %v", errSilent, s.timeout)
	}
	return judge(rpctypes.Error(err))
}
