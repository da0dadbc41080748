package core_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// fleet is a fake network: a Watcher that names its servers and a Dialer that
// connects to them. It counts, and checks what must hold at every instant: a
// connection has one user, nobody uses a closed one, it is closed once, and no
// server sees more connections than allowed.
type fleet struct {
	t       testing.TB
	reports chan []core.Endpoint
	// most connections that a server, and all together, may see; 0: any.
	most, mostTotal int

	mu      sync.Mutex
	first   []core.Endpoint
	servers map[string]*server
	links   []*link
	total   int
}

// newFleet returns a network whose first report names addrs. Without any it
// reports nothing until told to.
func newFleet(tb testing.TB, addrs ...string) *fleet {
	tb.Helper()
	return &fleet{t: tb, reports: make(chan []core.Endpoint), first: endpoints(addrs...), servers: map[string]*server{}}
}

func endpoints(addrs ...string) []core.Endpoint {
	var set []core.Endpoint
	for _, a := range addrs {
		set = append(set, core.Endpoint{Addr: a})
	}
	return set
}

func (f *fleet) Watch(ctx context.Context, report func([]core.Endpoint)) error {
	if f.first != nil {
		report(f.first)
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case set := <-f.reports:
			report(set)
		}
	}
}

// report changes the set and waits, in the bubble of the test, until the pool
// has taken it over: reports in a burst are joined.
func (f *fleet) report(addrs ...string) {
	f.reports <- endpoints(addrs...)
	time.Sleep(50 * time.Millisecond)
}

// Dial connects to a server, in the way that it was told to.
func (f *fleet) Dial(ctx context.Context, e core.Endpoint) (*link, error) {
	s := f.server(e.Addr)
	f.mu.Lock()
	s.dials++
	s.dialing++
	f.total++
	s.mostDialing = max(s.mostDialing, s.dialing)
	s.mostTaken = max(s.mostTaken, s.dialing+s.open)
	how, taken, total := s.how, s.dialing+s.open, f.total
	f.mu.Unlock()
	if f.most > 0 && taken > f.most {
		f.t.Errorf("%d connections to %s, at most %d are allowed", taken, s.addr, f.most)
	}
	if f.mostTotal > 0 && total > f.mostTotal {
		f.t.Errorf("%d connections in all, at most %d are allowed", total, f.mostTotal)
	}
	connected := false
	defer func() { // also if the dial panics
		f.mu.Lock()
		defer f.mu.Unlock()
		s.dialing--
		if connected {
			s.open++
		} else {
			f.total--
		}
	}()
	if how != nil {
		if err := how(ctx); err != nil {
			return nil, err
		}
	}
	connected = true
	l := &link{server: s, opened: time.Now()}
	f.mu.Lock()
	f.links = append(f.links, l)
	f.mu.Unlock()
	return l, nil
}

func (f *fleet) server(addr string) *server {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.servers[addr]
	if s == nil {
		s = &server{fleet: f, addr: addr}
		f.servers[addr] = s
	}
	return s
}

// conns returns all connections that were opened, in that order.
func (f *fleet) conns() []*link {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.links)
}

// counts returns how many connections were opened and how many of them closed.
func (f *fleet) counts() (opened, closed int) {
	for _, l := range f.conns() {
		opened++
		if l.closed.Load() {
			closed++
		}
	}
	return opened, closed
}

// wantCounts fails the test unless so many connections were opened and closed.
func (f *fleet) wantCounts(opened, closed int) {
	f.t.Helper()
	if o, c := f.counts(); o != opened || c != closed {
		f.t.Errorf("%d connections opened and %d of them closed, want %d and %d", o, c, opened, closed)
	}
}

// server is one server of a fleet.
type server struct {
	fleet *fleet
	addr  string

	// The rest is under the fleet's lock.
	how                    func(ctx context.Context) error
	dials, dialing, open   int
	mostDialing, mostTaken int
}

// dialed sets what a dial does before it connects; nil connects at once.
func (s *server) dialed(how func(ctx context.Context) error) {
	s.fleet.mu.Lock()
	defer s.fleet.mu.Unlock()
	s.how = how
}

// seen returns the number of dials, and of those under way.
func (s *server) seen() (dials, dialing int) {
	s.fleet.mu.Lock()
	defer s.fleet.mu.Unlock()
	return s.dials, s.dialing
}

var errRefused = errors.New("connection refused")

func refuse(context.Context) error { return errRefused }

// hang is a dial that lasts as long as its context.
func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// slow is a dial that takes d.
func slow(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error { return sleep(ctx, d) }
}

// stuck is a dial that ignores its context until release is closed.
func stuck(release <-chan struct{}) func(context.Context) error {
	return func(context.Context) error {
		<-release
		return errRefused
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 { // in a bubble a timer that is due at once may crash the race detector (Go 1.26.8)
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// link is a connection of a fleet.
type link struct {
	server *server
	opened time.Time
	// shared links may have several users.
	shared bool
	users  atomic.Int32
	closed atomic.Bool
	// onClose, if set, is what Close does first; set it before it matters.
	onClose func()
	// checks counts Peek and Health; check, if set, is their outcome.
	checks atomic.Int32
	check  atomic.Pointer[func(context.Context) error]
}

func (l *link) Close() error {
	if l.closed.Swap(true) {
		l.server.fleet.t.Errorf("a connection to %s was closed twice", l.server.addr)
	}
	defer func() {
		l.server.fleet.mu.Lock()
		defer l.server.fleet.mu.Unlock()
		l.server.open--
		l.server.fleet.total--
	}()
	if l.onClose != nil {
		l.onClose()
	}
	return errors.New("errors of Close matter to nobody")
}

// use begins and ends the use by one caller.
func (l *link) use() {
	if n := l.users.Add(1); n != 1 && !l.shared {
		l.server.fleet.t.Errorf("a connection to %s has %d users", l.server.addr, n)
	}
	if l.closed.Load() {
		l.server.fleet.t.Errorf("a closed connection to %s was leased", l.server.addr)
	}
}

func (l *link) unuse() { l.users.Add(-1) }

func (l *link) checked(ctx context.Context) error {
	l.use()
	defer l.unuse()
	l.checks.Add(1)
	if f := l.check.Load(); f != nil {
		return (*f)(ctx)
	}
	return nil
}

// fails sets the outcome of the next checks.
func (l *link) fails(f func(context.Context) error) { l.check.Store(&f) }

// peekLink is a link that is a Peeker, healthLink one that is a HealthChecker.
type (
	peekLink   struct{ *link }
	healthLink struct{ *link }
)

func (l peekLink) Peek() error                        { return l.checked(context.Background()) }
func (l healthLink) Health(ctx context.Context) error { return l.checked(ctx) }

// pool makes a pool of plain connections to the fleet, as newPool does.
func (f *fleet) pool(opts ...core.Option) *core.Pool[*link] {
	f.t.Helper()
	return newPool[*link](f, f, opts...)
}

func (f *fleet) peekPool(opts ...core.Option) *core.Pool[peekLink] {
	f.t.Helper()
	return newPool(f, core.DialFunc[peekLink](func(ctx context.Context, e core.Endpoint) (peekLink, error) {
		l, err := f.Dial(ctx, e)
		return peekLink{l}, err
	}), opts...)
}

func (f *fleet) healthPool(opts ...core.Option) *core.Pool[healthLink] {
	f.t.Helper()
	return newPool(f, core.DialFunc[healthLink](func(ctx context.Context, e core.Endpoint) (healthLink, error) {
		l, err := f.Dial(ctx, e)
		return healthLink{l}, err
	}), opts...)
}

// newPool makes a pool, and at the end of the test closes it and checks that
// no connection and, in a bubble, no goroutine is left.
func newPool[C io.Closer](f *fleet, d core.Dialer[C], opts ...core.Option) *core.Pool[C] {
	f.t.Helper()
	p, err := core.New(f, d, opts...)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := p.Close(ctx); err != nil {
			f.t.Errorf("at the end of the test: %v", err)
		}
		if opened, closed := f.counts(); opened != closed {
			f.t.Errorf("at the end of the test: %d connections opened, %d closed", opened, closed)
		}
	})
	return p
}

// user is a connection that notes its users.
type user interface {
	io.Closer
	use()
	unuse()
}

// get leases a connection or ends the test, also when it would wait for ever:
// the clock of a bubble runs on for as long as a pool has something to do.
func get[C user](t *testing.T, p *core.Pool[C], opts ...core.CallOption) core.Lease[C] {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	l, err := p.Get(ctx, opts...)
	if err != nil {
		t.Fatal(err)
	}
	l.Conn().use()
	return l
}

// release ends a lease of get.
func release[C user](t *testing.T, leases ...core.Lease[C]) {
	t.Helper()
	for _, l := range leases {
		l.Conn().unuse()
		if err := l.Release(); err != nil {
			t.Error(err)
		}
	}
}

// getMany leases n connections.
func getMany[C user](t *testing.T, p *core.Pool[C], n int, opts ...core.CallOption) []core.Lease[C] {
	t.Helper()
	var all []core.Lease[C]
	for range n {
		all = append(all, get(t, p, opts...))
	}
	return all
}

// warm makes the pool hold n idle connections.
func warm[C user](t *testing.T, p *core.Pool[C], n int, opts ...core.CallOption) {
	t.Helper()
	release(t, getMany(t, p, n, opts...)...)
}

// within returns a context that ends after d, and with the test.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// result is what a call in the background came to.
type result[C user] struct {
	lease core.Lease[C]
	err   error
}

// background begins a Get and returns where its result arrives.
func background[C user](ctx context.Context, p *core.Pool[C], opts ...core.CallOption) <-chan result[C] {
	done := make(chan result[C], 1)
	go func() {
		l, err := p.Get(ctx, opts...)
		if err == nil {
			l.Conn().use()
		}
		done <- result[C]{l, err}
	}()
	return done
}

// waits fails the test if the call in the background ends, once all that can
// happen now has.
func waits[C user](t *testing.T, done <-chan result[C]) {
	t.Helper()
	synctest.Wait()
	select {
	case r := <-done:
		t.Fatalf("the call did not wait: %v", r.err)
	default:
	}
}

// served returns the lease of a call in the background, which nothing must keep
// from it any more.
func served[C user](t *testing.T, done <-chan result[C]) core.Lease[C] {
	t.Helper()
	synctest.Wait()
	select {
	case r := <-done:
		if r.err != nil {
			t.Fatal(r.err)
		}
		return r.lease
	default:
		t.Fatal("the call still waits")
		panic("unreachable")
	}
}

// failed returns the error of a call in the background.
func failed[C user](t *testing.T, done <-chan result[C]) *core.Error {
	t.Helper()
	synctest.Wait()
	select {
	case r := <-done:
		return asError(t, r.err)
	default:
		t.Fatal("the call still waits")
		panic("unreachable")
	}
}

func asError(t *testing.T, err error) *core.Error {
	t.Helper()
	var e *core.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v is not a core.Error", err)
	}
	return e
}

// endpointStats returns the state of the endpoint with this address.
func endpointStats[C user](t *testing.T, p *core.Pool[C], addr string) core.EndpointStats {
	t.Helper()
	for _, e := range p.Stats().Endpoints {
		if e.Endpoint.Addr == addr {
			return e
		}
	}
	t.Fatalf("no endpoint %s in the stats", addr)
	panic("unreachable")
}

// journal is an Observer that remembers.
type journal struct {
	mu     sync.Mutex
	events []core.Event
}

func (j *journal) Observe(ev core.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, ev)
}

// of returns the events of a kind.
func (j *journal) of(kind core.EventKind) []core.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	var some []core.Event
	for _, ev := range j.events {
		if ev.Kind == kind {
			some = append(some, ev)
		}
	}
	return some
}
