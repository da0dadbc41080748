package zk

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	client "github.com/go-zookeeper/zk"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// closeStep bounds each of the three steps of closing a session: Watch must
// return within a second.
const closeStep = 250 * time.Millisecond

// sessionKey is what two watchers or registrars have in common if they share a
// session.
type sessionKey struct {
	servers        string // sorted, joined by commas
	sessionTimeout time.Duration
	credentials    string // "user:password"
	tls            discovery.TLS
}

func (c *config) sessionKey() (sessionKey, error) {
	servers := slices.Sorted(slices.Values(c.servers))
	k := sessionKey{strings.Join(servers, ","), c.sessionTimeout, "", c.tls}
	if _, _, err := c.credentials.SplitUserPassword(); err != nil {
		return k, err
	}
	var err error
	if k.credentials, err = c.credentials.Value(); err != nil {
		return k, err
	}
	_, err = c.tls.Load() // reports a missing file at once
	return k, err
}

// sessions are the sessions that a new handle may use. A session leaves the map
// when its last handle is released, or when it is given up.
//
//nolint:gochecknoglobals // one session per ensemble and user in the whole process is the purpose
var sessions = struct {
	mu            sync.Mutex
	all           map[sessionKey]*session
	registrations atomic.Int64 // of this process until now
}{all: make(map[sessionKey]*session)}

// session is a session with an ensemble, or several in succession: the client
// starts the next one when it learns that the last has expired. It ends when its
// last handle is released.
type session struct {
	key     sessionKey
	hosts   *hosts
	conn    *client.Conn
	ended   <-chan client.Event // closed when the client has ended
	memory  inheritance
	begun   time.Time
	expires atomic.Int64   // when the session expires unless the ensemble answers again, in ns after begun
	calls   sync.WaitGroup // goroutines of handles and of the session itself

	ctx        context.Context //nolint:containedctx // for dialing; ends when the session is closed
	cancel     context.CancelFunc
	closing    chan struct{} // closed when the last handle is released
	dialerDone chan struct{} // closed when the dialer has noticed that
	dialerOnce sync.Once

	mu            sync.Mutex
	handles       map[string]map[*handle]struct{} // by path
	count         int                             // of handles
	id            int64                           // zero before the first connection
	connected     bool                            // the ensemble has accepted the session on the connection
	authenticated bool                            // the client has the credentials, and sends them on each connection
	refused       error                           // why the ensemble refused the credentials
	changed       chan struct{}                   // closed and replaced when connected, authenticated or refused change
	wire          *wire
}

// acquire returns a new handle for c, and begins its session if there is none.
// It does not wait for the session.
func acquire(c *config, path string, data bool, leaf string) (*handle, error) {
	k, err := c.sessionKey()
	if err != nil {
		return nil, err
	}
	sessions.mu.Lock()
	defer sessions.mu.Unlock()
	s := sessions.all[k]
	if s == nil {
		if s, err = newSession(k); err != nil {
			return nil, err
		}
		sessions.all[k] = s
	}
	return s.newHandle(path, data, leaf), nil
}

func newSession(k sessionKey) (*session, error) {
	s := &session{
		key:           k,
		begun:         time.Now(),
		hosts:         newHosts(strings.Split(k.servers, ",")),
		closing:       make(chan struct{}),
		dialerDone:    make(chan struct{}),
		handles:       make(map[string]map[*handle]struct{}),
		authenticated: k.credentials == "",
		changed:       make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.mu.Lock() // until conn is set, because the client calls observe at once
	defer s.mu.Unlock()
	var err error
	s.conn, s.ended, err = client.Connect([]string{"chosen by the dialer"}, k.sessionTimeout,
		client.WithHostProvider(hostProvider{s.hosts}),
		client.WithDialer(func(string, string, time.Duration) (net.Conn, error) { return s.dial() }),
		client.WithEventCallback(s.observe),
		client.WithMaxBufferSize(maxPacket),
		client.WithLogger(noLogger{}),
		client.WithLogInfo(false))
	if err != nil {
		s.cancel()
		return nil, err
	}
	if k.credentials != "" {
		s.calls.Go(s.authenticate) // ends with the session, which waits
	}
	return s, nil
}

// noLogger discards the client's log.
type noLogger struct{}

func (noLogger) Printf(string, ...any) {}

// dial makes the next connection for the client.
func (s *session) dial() (net.Conn, error) {
	s.closeWire() // the client does not close a connection on which its session has expired
	c, err := s.dialNext()
	select {
	case <-s.closing:
		if err == nil {
			_ = c.Close()
		}
		s.dialerOnce.Do(func() { close(s.dialerDone) })
		return acceptAll(), nil
	default:
		return c, err
	}
}

func (s *session) dialNext() (net.Conn, error) {
	h, err := s.hosts.next(s.ctx)
	if err != nil {
		if s.ctx.Err() == nil {
			s.hosts.failed(h, err)
		}
		return nil, err
	}
	// If all servers but one hang, there is time to try each within the session timeout.
	deadline := time.Now().Add(max(s.key.sessionTimeout/time.Duration(len(s.hosts.servers)+1), 200*time.Millisecond))
	ctx, cancel := context.WithDeadline(s.ctx, deadline)
	defer cancel()
	c, raw, err := s.connect(ctx, h)
	if err != nil {
		s.hosts.failed(h, err)
		return nil, err
	}
	w := newWire(c, raw, deadline, s.key.sessionTimeout/3, func(err error) { s.hosts.failed(h, err) }, &s.memory)
	w.onAnswer = func(timeout time.Duration) { s.expires.Store(int64(time.Since(s.begun) + timeout)) }
	s.mu.Lock()
	s.wire = w
	s.mu.Unlock()
	return w, nil
}

// connect returns a connection, and the one below its TLS.
func (s *session) connect(ctx context.Context, h host) (c, raw net.Conn, err error) {
	config, err := s.key.tls.Load()
	if err != nil {
		return nil, nil, err
	}
	raw, err = (&net.Dialer{}).DialContext(ctx, "tcp", h.addr)
	if err != nil || config == nil {
		return raw, raw, err
	}
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(h.server)
	}
	secure := tls.Client(raw, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, nil, tlsError(err)
	}
	return secure, raw, nil
}

// connection returns the connection on which the ensemble has accepted the session, nil
// without one.
func (s *session) connection() *wire {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.connected {
		return nil
	}
	return s.wire
}

// closeWire closes the connection, if there is one.
func (s *session) closeWire() {
	s.mu.Lock()
	w := s.wire
	s.wire = nil
	s.mu.Unlock()
	if w != nil {
		_ = w.Close()
	}
}

// observe handles every event of the client. It does not block.
func (s *session) observe(e client.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case e.Type == client.EventSession && e.State == client.StateHasSession:
		if id := s.conn.SessionID(); id != s.id {
			s.id = id
			s.memory.seen.Store(0)
			s.memory.since.Store(0)
			for _, handles := range s.handles {
				for h := range handles {
					h.restartLocked()
				}
			}
		}
		s.watchAgainLocked()
		s.connected = true
		s.changeLocked()
	case e.Type == client.EventSession && e.State == client.StateExpired:
		s.hosts.connected()
	case e.Type == client.EventSession && e.State == client.StateDisconnected:
		if s.connected {
			s.connected = false
			s.changeLocked()
		}
	case e.Type == client.EventNodeCreated, e.Type == client.EventNodeDeleted,
		e.Type == client.EventNodeDataChanged, e.Type == client.EventNodeChildrenChanged:
		for h := range s.handles[e.Path] {
			h.nodeChangedLocked()
		}
		parent, name := path.Split(e.Path)
		parent = strings.TrimSuffix(parent, "/")
		for h := range s.handles[parent] {
			if h.leaf == "" {
				h.childChangedLocked(name, e.Type)
			}
		}
		above, child := path.Split(parent)
		for h := range s.handles[strings.TrimSuffix(above, "/")] {
			if h.leaf == "/"+name { // the child is still there, whatever has become of its leaf
				h.childChangedLocked(child, client.EventNodeDataChanged)
			}
		}
	}
}

// watchAgainLocked sets the watches on children's data again. The client does so with
// those that it knows of, but since the last answer: a change before that is missed if the
// connection on which the answer came had not all watches yet.
func (s *session) watchAgainLocked() {
	w := s.wire
	if w == nil {
		return
	}
	paths := map[string]struct{}{}
	for path, handles := range s.handles {
		for h := range handles {
			for name := range h.watched {
				if h.leaf == "" { // else the client knows whether the watch is on what exists
					paths[path+"/"+name] = struct{}{}
				}
			}
		}
	}
	s.calls.Go(func() { w.watchAgain(slices.Collect(maps.Keys(paths))) }) // ends with w, if not before
}

func (s *session) changeLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// authenticate gives the credentials to the client, which sends them on each
// connection from then on.
func (s *session) authenticate() {
	for {
		err := s.conn.AddAuth("digest", []byte(s.key.credentials))
		s.mu.Lock()
		switch {
		case err == nil:
			s.authenticated = true
		case errors.Is(err, client.ErrAuthFailed):
			s.refused = errors.New("the credentials are refused")
		}
		s.changeLocked()
		done := s.authenticated || s.refused != nil
		s.mu.Unlock()
		if done {
			return
		}
		select {
		case <-s.closing:
			return
		default: // the next attempt waits for a connection
		}
	}
}

// status is a consistent copy of what handles wait for.
type status struct {
	connected bool // calls can be made
	refused   error
	changed   <-chan struct{} // closed when any of the others changes
}

func (s *session) status() status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return status{s.connected && s.authenticated, s.refused, s.changed}
}

// remaining returns the time until the ensemble drops the session and its nodes
// unless it answers before.
func (s *session) remaining() time.Duration {
	return time.Duration(s.expires.Load()) - time.Since(s.begun)
}

// inUse reports whether a handle uses the path.
func (s *session) inUse(path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.handles[path]) > 0
}

// giveUp returns the error for an ensemble that could not be reached, and gives
// the session no new handles: an ensemble that was restored from a backup never
// accepts a session that has seen later changes.
func (s *session) giveUp() error {
	sessions.mu.Lock()
	if sessions.all[s.key] == s {
		delete(sessions.all, s.key)
	}
	sessions.mu.Unlock()
	return fmt.Errorf("no ensemble within %v: %s", discovery.RetryWindow, s.hosts.describeFailures())
}

// release ends one use of the session. The last one closes it.
func (s *session) release() {
	sessions.mu.Lock()
	s.mu.Lock()
	s.count--
	last := s.count == 0
	connected := s.connected
	if last && sessions.all[s.key] == s {
		delete(sessions.all, s.key)
	}
	s.mu.Unlock()
	sessions.mu.Unlock()
	if last {
		s.close(connected)
	}
}

// close ends the session, at the ensemble too if there is a connection.
func (s *session) close(connected bool) {
	close(s.closing)
	if !connected {
		s.cancel()
		s.closeWire()
		within(closeStep, s.dialerDone)
	}
	over := make(chan struct{})
	go func() { // ends with the client, at most a second after its connection
		s.conn.Close()
		for range s.ended { // until it is closed
		}
		s.calls.Wait()
		s.hosts.lookups.Wait()
		close(over)
	}()
	if !within(closeStep, over) { // the server hangs
		s.cancel()
		s.closeWire()
		within(closeStep, over)
	}
	s.cancel()
	s.closeWire()
}

// within waits for c for up to d, and reports whether c came.
func within(d time.Duration, c <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c:
		return true
	case <-t.C:
		return false
	}
}

// errConnectionLost ends an attempt whose connection is lost.
var errConnectionLost = errors.New("the connection is lost")

// classify marks the errors that retrying cannot help against: all but those of
// the connection.
func classify(err error) error {
	if transient(err) {
		return err
	}
	return discovery.Permanent(err)
}

// transient reports whether err is a failure of the connection, so that the
// same call may succeed on the next one.
func transient(err error) bool {
	for _, t := range []error{
		errConnectionLost, client.ErrConnectionClosed, client.ErrSessionExpired, client.ErrSessionMoved, client.ErrNoServer, client.ErrClosing,
	} {
		if errors.Is(err, t) {
			return true
		}
	}
	return errors.As(err, new(net.Error)) || errors.Is(err, net.ErrClosed)
}
