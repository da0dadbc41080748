package discoverytest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

// watchFunc is the Watch of a watcher of a fakeService.
type watchFunc func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error

// fakeService is a service in a registry in memory.
type fakeService struct {
	list  static.List
	watch watchFunc

	mu      sync.Mutex
	cut     chan struct{} // closed while connections are refused
	answers chan struct{} // closed while the registry answers
	denied  bool          // watchers may not read

	requests atomic.Int64 // requests that watchers have made
	watches  atomic.Int64 // watches that the registry holds

	// For broken watchers:
	busy    sync.Mutex // put locks it
	invalid error      // what Validate returns
	shared  scratch
	sibling []discovery.Endpoint // what putSibling has put

	malformed, compacted, expired, removed atomic.Bool // faults that have happened
	hostile                                atomic.Bool // now
	unchecked                              atomic.Pointer[discovery.Endpoint]
}

// scratch is what broken watches of one service share.
type scratch struct {
	mu    sync.Mutex
	set   []discovery.Endpoint
	slice []discovery.Endpoint
	used  bool
	ends  []context.CancelFunc
}

func newFakeService(w watchFunc) *fakeService {
	s := &fakeService{watch: w, cut: make(chan struct{}), answers: make(chan struct{})}
	close(s.answers)
	return s
}

// fixture returns a fixture of the service with all that Run can use.
func (s *fakeService) fixture() Fixture {
	return Fixture{
		Watcher:        func() (discovery.Watcher, error) { return fakeWatcher{s}, nil },
		Put:            s.put,
		Close:          func() error { return nil },
		Cut:            s.cutOff,
		Hang:           s.hang,
		ExpireSessions: s.expireSessions,
		Compact:        setting(&s.compacted),
		Remove:         s.remove,
		RevokeAccess:   s.revokeAccess,
		PutMalformed:   setting(&s.malformed),
		PutSibling:     s.putSibling,
		Contradict:     s.turnHostile,
		Endless:        s.turnHostile,
		Storm:          s.turnHostile,
		Restless:       s.turnHostile,
		Flood:          func(ctx context.Context, _, _ int) (func() error, error) { return s.turnHostile(ctx) },
		PutUnchecked:   s.putUnchecked,
		CountRequests:  counting(&s.requests),
		CountWatches:   counting(&s.watches),
	}
}

func setting(flag *atomic.Bool) func(context.Context) error {
	return func(context.Context) error { flag.Store(true); return nil }
}

func counting(n *atomic.Int64) func(context.Context) (int, error) {
	return func(context.Context) (int, error) { return int(n.Load()), nil }
}

func (s *fakeService) put(_ context.Context, set []discovery.Endpoint) error {
	s.busy.Lock()
	defer s.busy.Unlock()
	return s.list.Set(set...)
}

func (s *fakeService) cutOff(context.Context) (func() error, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.cut)
	return func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.cut = make(chan struct{})
		return nil
	}, nil
}

func (s *fakeService) hang(context.Context) (func() error, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answers := make(chan struct{})
	s.answers = answers
	return func() error { close(answers); return nil }, nil
}

// turnHostile lets broken watchers make their mistakes.
func (s *fakeService) turnHostile(context.Context) (func() error, error) {
	s.hostile.Store(true)
	s.breakConnections()
	return func() error { s.hostile.Store(false); return nil }, nil
}

// putUnchecked adds an endpoint that broken watchers report.
func (s *fakeService) putUnchecked(_ context.Context, e discovery.Endpoint) error {
	s.unchecked.Store(&e)
	s.breakConnections()
	return nil
}

// breakConnections closes all connections. New ones work.
func (s *fakeService) breakConnections() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.cut)
	s.cut = make(chan struct{})
}

func (s *fakeService) expireSessions(context.Context) error {
	s.expired.Store(true)
	s.breakConnections()
	return nil
}

func (s *fakeService) remove(context.Context) error {
	s.removed.Store(true)
	return s.list.Set()
}

func (s *fakeService) deny(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.denied = yes
}

func (s *fakeService) revokeAccess(context.Context) (func() error, error) {
	s.deny(true)
	s.breakConnections()
	return func() error { s.deny(false); return nil }, nil
}

func (s *fakeService) putSibling(_ context.Context, set []discovery.Endpoint) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sibling = set
	return nil
}

// refuses reports whether connections are refused now.
func (s *fakeService) refuses() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.cut:
		return true
	default:
		return false
	}
}

// denies reports whether watchers may not read now.
func (s *fakeService) denies() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.denied
}

type fakeWatcher struct{ s *fakeService }

func (w fakeWatcher) Watch(ctx context.Context, report func([]discovery.Endpoint)) error {
	return w.s.watch(ctx, w.s, report)
}

func (w fakeWatcher) Validate() error { return w.s.invalid }

var (
	errLost   = errors.New("connection lost")
	errDenied = errors.New("permission denied")
)

// good is a Watch that fulfills the contract.
func good(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
	s.mu.Lock()
	cut, answers := s.cut, s.answers
	s.mu.Unlock()

	select {
	case <-answers:
	case <-ctx.Done():
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-cut:
		return errLost
	default:
	}
	if s.denies() {
		return errDenied
	}
	s.requests.Add(1)
	s.watches.Add(1)
	defer s.watches.Add(-1)
	connected, cancel := context.WithCancel(ctx)
	var link sync.WaitGroup
	link.Go(func() {
		select {
		case <-cut:
			cancel()
		case <-connected.Done():
		}
	})
	_ = s.list.Watch(connected, report)
	cancel()
	link.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	return errLost
}
