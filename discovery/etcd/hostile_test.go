package etcd_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/etcd"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

func TestNothingThatEtcdSendsHarmsAWatcher(t *testing.T) {
	discoverytest.RunHostile(t, func(t *testing.T) discoverytest.Fixture {
		t.Helper()
		h := newHostileEtcd(t)
		return discoverytest.Fixture{
			Watcher: func() (discovery.Watcher, error) {
				return etcd.Watcher([]string{h.addr}, "/echo/", etcd.Timeout(time.Second)), nil
			},
			Put:           h.put,
			Close:         h.close,
			CountRequests: func(context.Context) (int, error) { return int(h.requests.Load()), nil },
			Contradict:    h.while(h.contradict, nil),
			Endless:       h.while(h.endless, nil),
			Storm:         h.while(nil, h.storm),
			Restless:      h.while(nil, h.restless),
			Flood:         h.flood,
			PutUnchecked: func(_ context.Context, e discovery.Endpoint) error {
				h.change(func() { h.add(fmt.Sprint("unchecked", h.revision), discoverytest.GRPCNaming(e)) })
				return nil
			},
			Timeout: time.Minute,
		}
	})
}

// hostileEtcd answers questions for keys, and watches, until it lies.
type hostileEtcd struct {
	pb.UnimplementedKVServer
	pb.UnimplementedWatchServer
	server   *grpc.Server
	addr     string
	requests atomic.Int64

	mu       sync.Mutex
	revision int64
	kvs      []*mvccpb.KeyValue
	changed  chan struct{} // closed and replaced by each change
	lieRange func(*pb.RangeRequest) *pb.RangeResponse
	lieWatch func() []*mvccpb.Event // of the next answer
}

func newHostileEtcd(t *testing.T) *hostileEtcd {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &hostileEtcd{
		server: grpc.NewServer(grpc.MaxSendMsgSize(1 << 30)), addr: ln.Addr().String(), revision: 10, changed: make(chan struct{}),
	}
	pb.RegisterKVServer(h.server, h)
	pb.RegisterWatchServer(h.server, h)
	go func() { _ = h.server.Serve(ln) }() // ends with close
	return h
}

func (h *hostileEtcd) close() error { h.server.Stop(); return nil }

func (h *hostileEtcd) add(key, value string) {
	h.kvs = append(slices.Clip(h.kvs), &mvccpb.KeyValue{Key: []byte("/echo/" + key), Value: []byte(value)})
}

// change changes what is held and tells the watches.
func (h *hostileEtcd) change(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
	h.revision++
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *hostileEtcd) put(_ context.Context, set []discovery.Endpoint) error {
	h.change(func() {
		h.kvs = nil
		for _, e := range set {
			key, value, err := format.GRPCNaming().Encode("/echo/", e)
			if err == nil {
				h.add(key, string(value))
			}
		}
	})
	return nil
}

func (h *hostileEtcd) while(r func(*pb.RangeRequest) *pb.RangeResponse, w func() []*mvccpb.Event) func(context.Context) (func() error, error) {
	return func(context.Context) (func() error, error) {
		h.change(func() { h.lieRange, h.lieWatch = r, w })
		return func() error { h.change(func() { h.lieRange, h.lieWatch = nil, nil }); return nil }, nil
	}
}

func (h *hostileEtcd) header() *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: 1, Revision: h.revision}
}

func (h *hostileEtcd) Range(_ context.Context, q *pb.RangeRequest) (*pb.RangeResponse, error) {
	h.requests.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lieRange != nil {
		return h.lieRange(q), nil
	}
	return &pb.RangeResponse{Header: h.header(), Kvs: h.kvs, Count: int64(len(h.kvs))}, nil
}

// Watch lets a watch fail at each change, so that the keys are listed again, but for
// those of lieWatch.
func (h *hostileEtcd) Watch(stream pb.Watch_WatchServer) error {
	h.mu.Lock()
	changed := h.changed
	h.mu.Unlock()
	watches := make(chan *pb.WatchCreateRequest, 100)
	go func() { // ends with the stream
		defer close(watches)
		for {
			q, err := stream.Recv()
			if err != nil {
				return
			}
			watches <- q.GetCreateRequest()
		}
	}()
	for id := int64(0); ; {
		h.mu.Lock()
		lie, header := h.lieWatch, h.header()
		h.mu.Unlock()
		if lie != nil && id > 0 {
			if err := stream.Send(&pb.WatchResponse{Header: header, WatchId: 1, Events: lie()}); err != nil {
				return err
			}
			select {
			case <-changed:
				return io.ErrUnexpectedEOF
			default:
			}
		}
		var idle <-chan struct{}
		if lie == nil || id == 0 {
			idle = changed
		}
		select {
		case create, ok := <-watches:
			if !ok {
				return nil
			}
			if create.GetStartRevision() > 0 && create.GetStartRevision() <= header.Revision {
				return io.ErrUnexpectedEOF // something has changed meanwhile
			}
			if create != nil {
				id++
				if err := stream.Send(&pb.WatchResponse{Header: header, WatchId: id, Created: true}); err != nil {
					return err
				}
			}
		case <-idle:
			return io.ErrUnexpectedEOF
		case <-ready(lie != nil && id > 0):
		}
	}
}

// ready returns a channel that is closed, or nil.
func ready(yes bool) <-chan struct{} {
	if !yes {
		return nil
	}
	c := make(chan struct{})
	close(c)
	return c
}

// contradict says that there are more keys, and gives none, or others, or an older
// revision, or another cluster.
func (h *hostileEtcd) contradict(q *pb.RangeRequest) *pb.RangeResponse {
	n := h.requests.Load()
	answer := &pb.RangeResponse{Header: &pb.ResponseHeader{ClusterId: uint64(n % 2), Revision: 5 - n%7}, More: true, Count: -1}
	if n%3 > 0 {
		answer.Kvs = []*mvccpb.KeyValue{{Key: []byte("/echo/a"), Value: []byte("{")}, {Key: []byte("/other/b")}}
	}
	if n%5 == 0 {
		answer.Header, answer.More = nil, false
	}
	_ = q
	return answer
}

// endless gives one page after the other.
func (h *hostileEtcd) endless(q *pb.RangeRequest) *pb.RangeResponse {
	answer := &pb.RangeResponse{Header: h.header(), More: true}
	value := make([]byte, 1000)
	for i := range 5000 {
		answer.Kvs = append(answer.Kvs, &mvccpb.KeyValue{Key: fmt.Appendf(slices.Clone(q.Key), "%04d", i), Value: value})
	}
	for _, kv := range answer.Kvs { // keys grow by four bytes a page
		kv.Key = kv.Key[:min(len(kv.Key), 1000)]
	}
	return answer
}

func (h *hostileEtcd) storm() []*mvccpb.Event { return []*mvccpb.Event{{Kv: h.first()}} }

func (h *hostileEtcd) first() *mvccpb.KeyValue {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.kvs) == 0 {
		return &mvccpb.KeyValue{Key: []byte("/echo/x")}
	}
	return h.kvs[0]
}

func (h *hostileEtcd) restless() []*mvccpb.Event {
	n := h.requests.Add(1)
	addr := fmt.Sprintf("10.1.%d.%d:9090", n/250%250, n%250)
	return []*mvccpb.Event{{Kv: &mvccpb.KeyValue{Key: []byte("/echo/x"), Value: []byte(discoverytest.GRPCNaming(discovery.Endpoint{Addr: addr}))}}}
}

// flood gives the keys in pages of at most 4 MiB.
func (h *hostileEtcd) flood(_ context.Context, entries, size int) (func() error, error) {
	value := []byte(fmt.Sprintf(`{"Addr":"10.0.0.1:9090","x":%q}`, strings.Repeat("v", size-32)))
	page := min(entries, 4<<20/size)
	return h.while(func(q *pb.RangeRequest) *pb.RangeResponse {
		from := 0
		_, _ = fmt.Sscanf(strings.TrimPrefix(string(q.Key), "/echo/"), "%d", &from)
		answer := &pb.RangeResponse{Header: h.header(), More: from+page < entries}
		for i := from; i < min(from+page, entries); i++ {
			// The key that follows it is read as the next number.
			answer.Kvs = append(answer.Kvs, &mvccpb.KeyValue{Key: fmt.Appendf(nil, "/echo/%08d", i+1), Value: value})
		}
		return answer
	}, nil)(context.Background())
}
