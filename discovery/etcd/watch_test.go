package etcd

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// TestWatchThatIsNotReadHoldsUpNoOtherAndFails fills the queue of a watch whose
// user takes nothing.
func TestWatchThatIsNotReadHoldsUpNoOtherAndFails(t *testing.T) {
	s := &stream{client: &client{}, watches: make(map[int64]*watch)}
	slow, other := &watch{stream: s, wake: make(chan struct{}, 1)}, &watch{stream: s, wake: make(chan struct{}, 1)}
	s.watches[1], s.watches[2] = slow, other
	const many = 5000
	for i := range int64(2 * maxQueued / many) {
		for id := range s.watches {
			answer := &pb.WatchResponse{WatchId: id, Header: &pb.ResponseHeader{ClusterId: 1, Revision: i}, Events: make([]*mvccpb.Event, many)}
			if err := s.receive(answer); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := other.next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	taken := 0
	for {
		answer, err := slow.next(t.Context())
		if err != nil {
			break
		}
		taken += len(answer.Events)
	}
	if taken != maxQueued {
		t.Errorf("%d changes before the error, want %d", taken, maxQueued)
	}
}

// TestWatchOfAnotherStoreFails has answers whose position cannot follow that of
// the list.
func TestWatchOfAnotherStoreFails(t *testing.T) {
	for what, c := range map[string]struct {
		now  *pb.ResponseHeader
		good bool
	}{
		"a later revision":                {&pb.ResponseHeader{ClusterId: 7, Revision: 11}, true},
		"an answer of the gRPC proxy":     {&pb.ResponseHeader{}, true},
		"a revision before the list":      {&pb.ResponseHeader{ClusterId: 7, Revision: 9}, false},
		"a revision of another cluster's": {&pb.ResponseHeader{ClusterId: 8, Revision: 11}, false},
	} {
		s := &stream{client: &client{}}
		w := &watch{stream: s, at: position{7, 10}, wake: make(chan struct{}, 1)}
		s.watches = map[int64]*watch{0: w}
		if err := s.receive(&pb.WatchResponse{Header: c.now}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.next(t.Context()); (err == nil) != c.good {
			t.Errorf("%s: error %v", what, err)
		}
	}
}
