package zk

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	client "github.com/go-zookeeper/zk"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

const (
	// patience is how long a user of a session waits for an ensemble that is
	// away before it says so.
	patience = 10 * time.Second
	// goodbye bounds each step of closing a session. There are three, and a
	// watch has to return within a second.
	goodbye = 250 * time.Millisecond
)

// key is what sessions are shared by.
type key struct {
	servers        string
	sessionTimeout time.Duration
	auth           string // "user:password"
	tls            *tls.Config
	tlsFiles       discovery.TLS
}

func (c *config) key() (key, error) {
	servers := make([]string, len(c.servers))
	for i, s := range c.servers {
		servers[i] = withPort(s)
	}
	slices.Sort(servers)
	k := key{strings.Join(servers, ","), c.sessionTimeout, "", c.tls, c.tlsFiles}
	auth, err := c.auth.Value()
	if err != nil {
		return k, err
	}
	if c.user != "" {
		password, err := c.password.Value()
		if err != nil {
			return k, err
		}
		auth = c.user + ":" + password
	}
	k.auth = auth
	_, err = c.tlsFiles.Config() // a file that is missing is told at once
	return k, err
}

// sessions are those in use. A session is in it while it has users, and the
// ensemble is not lost.
//
//nolint:gochecknoglobals // one session per ensemble in the whole process is the purpose
var sessions = struct {
	mu  sync.Mutex
	all map[key]*session
}{all: make(map[key]*session)}

// session is one session with an ensemble, or one after the other: the client
// begins the next when it learns that the last has expired. Its users are
// watches and registrations, each with a [user]; it ends with the last of them.
type session struct {
	key     key
	hosts   *hosts
	conn    *client.Conn
	ended   <-chan client.Event // closed when the client has ended
	watches atomic.Bool
	calls   sync.WaitGroup // goroutines of users and of the session itself

	ctx     context.Context //nolint:containedctx // of dialing; ends when the session is closed
	cancel  context.CancelFunc
	closing chan struct{} // closed when the last user has left
	parting chan struct{} // closed when the dialer has seen that
	parted  sync.Once

	mu      sync.Mutex
	users   map[string]map[*user]struct{} // by path
	count   int
	id      int64 // zero until the first contact
	linked  bool  // there is a connection that was greeted
	authed  bool  // the client knows the password, and repeats it on each connection
	since   time.Time
	refused error         // of the password
	changed chan struct{} // closed and replaced when linked, authed or refused change
	wire    *wire
}

// acquire returns a new user of the session for c, which is begun if there is
// none yet. It does not wait for it.
func acquire(c *config, path string, data bool) (*user, error) {
	k, err := c.key()
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
	return s.join(path, data), nil
}

func newSession(k key) (*session, error) {
	s := &session{
		key:     k,
		hosts:   newHosts(strings.Split(k.servers, ",")),
		closing: make(chan struct{}),
		parting: make(chan struct{}),
		users:   make(map[string]map[*user]struct{}),
		authed:  k.auth == "",
		since:   time.Now(),
		changed: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.mu.Lock() // until conn is set: the client calls observe at once
	defer s.mu.Unlock()
	var err error
	s.conn, s.ended, err = client.Connect([]string{"unchosen"}, k.sessionTimeout,
		client.WithHostProvider(unchosen{s.hosts}),
		client.WithDialer(func(string, string, time.Duration) (net.Conn, error) { return s.dial() }),
		client.WithEventCallback(s.observe),
		client.WithMaxBufferSize(largest),
		client.WithLogger(silent{}),
		client.WithLogInfo(false))
	if err != nil {
		s.cancel()
		return nil, err
	}
	if k.auth != "" {
		s.calls.Go(s.authenticate) // ends with the session, which waits
	}
	return s, nil
}

// silent is the client's log.
type silent struct{}

func (silent) Printf(string, ...any) {}

// dial makes the next connection for the client.
func (s *session) dial() (net.Conn, error) {
	s.drop() // the client leaves one open on which a session had expired
	c, err := s.tryNext()
	select {
	case <-s.closing:
		if err == nil {
			_ = c.Close()
		}
		s.parted.Do(func() { close(s.parting) })
		return farewell(), nil
	default:
		return c, err
	}
}

func (s *session) tryNext() (net.Conn, error) {
	t, err := s.hosts.next(s.ctx)
	if err != nil {
		if s.ctx.Err() == nil {
			s.hosts.failed(t, err)
		}
		return nil, err
	}
	// So that in a session's time each server can be tried, if all but one hang.
	by := time.Now().Add(max(s.key.sessionTimeout/time.Duration(len(s.hosts.servers)+1), 200*time.Millisecond))
	ctx, cancel := context.WithDeadline(s.ctx, by)
	defer cancel()
	c, raw, err := s.connect(ctx, t)
	if err != nil {
		s.hosts.failed(t, err)
		return nil, err
	}
	w := newWire(c, raw, by, s.key.sessionTimeout/3, func(err error) { s.hosts.failed(t, err) }, &s.watches)
	s.mu.Lock()
	s.wire = w
	s.mu.Unlock()
	return w, nil
}

// connect returns a connection, and what is below its TLS.
func (s *session) connect(ctx context.Context, t host) (c, raw net.Conn, err error) {
	config, err := s.key.tlsFiles.Config()
	if err != nil {
		return nil, nil, err
	}
	if s.key.tls != nil {
		config = s.key.tls.Clone()
	}
	raw, err = (&net.Dialer{}).DialContext(ctx, "tcp", t.addr)
	if err != nil || config == nil {
		return raw, raw, err
	}
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(t.server)
	}
	secure := tls.Client(raw, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, nil, err
	}
	return secure, raw, nil
}

// drop closes the connection, if there is one.
func (s *session) drop() {
	s.mu.Lock()
	w := s.wire
	s.wire = nil
	s.mu.Unlock()
	if w != nil {
		_ = w.Close()
	}
}

// observe is told of every event, and does not block.
func (s *session) observe(e client.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case e.Type == client.EventSession && e.State == client.StateHasSession:
		if id := s.conn.SessionID(); id != s.id {
			s.id = id
			for _, users := range s.users {
				for u := range users {
					u.startOverLocked()
				}
			}
		}
		s.linked = true
		s.changeLocked()
	case e.Type == client.EventSession && e.State == client.StateExpired:
		s.hosts.reached()
	case e.Type == client.EventSession && e.State == client.StateDisconnected:
		if s.linked {
			s.linked, s.since = false, time.Now()
			s.changeLocked()
		}
	case e.Type == client.EventNodeCreated, e.Type == client.EventNodeDeleted,
		e.Type == client.EventNodeDataChanged, e.Type == client.EventNodeChildrenChanged:
		for u := range s.users[e.Path] {
			u.changedLocked()
		}
		i := strings.LastIndexByte(e.Path, '/')
		for u := range s.users[e.Path[:max(i, 0)]] {
			u.childChangedLocked(e.Path[i+1:], e.Type)
		}
	}
}

func (s *session) changeLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// authenticate tells the ensemble the user and password, once; the client
// repeats them from then on.
func (s *session) authenticate() {
	for {
		err := s.conn.AddAuth("digest", []byte(s.key.auth))
		s.mu.Lock()
		switch {
		case err == nil:
			s.authed = true
		case errors.Is(err, client.ErrAuthFailed):
			s.refused = errors.New("user and password are refused")
		}
		s.changeLocked()
		done := s.authed || s.refused != nil
		s.mu.Unlock()
		if done {
			return
		}
		select {
		case <-s.closing:
			return
		default: // the next attempt waits until there is a connection
		}
	}
}

// status is a consistent copy of what users wait for.
type status struct {
	up      bool // calls can be made
	since   time.Time
	refused error
	changed <-chan struct{}
}

func (s *session) status() status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return status{s.linked && s.authed, s.since, s.refused, s.changed}
}

// used reports whether there is a user of this path.
func (s *session) used(path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.users[path]) > 0
}

// away is the error for an ensemble that was not reached in time. The session
// gets no new users then: one that has seen more than the ensemble now knows,
// because that was restored from a backup, is never let in again.
func (s *session) away() error {
	sessions.mu.Lock()
	if sessions.all[s.key] == s {
		delete(sessions.all, s.key)
	}
	sessions.mu.Unlock()
	return fmt.Errorf("no ensemble within %v: %s", patience, s.hosts.trouble())
}

// leave closes the session if there are no users left; otherwise it returns
// false.
func (s *session) leave() bool {
	sessions.mu.Lock()
	s.mu.Lock()
	s.count--
	last := s.count == 0
	linked := s.linked
	if last && sessions.all[s.key] == s {
		delete(sessions.all, s.key)
	}
	s.mu.Unlock()
	sessions.mu.Unlock()
	if last {
		s.close(linked)
	}
	return last
}

// close ends the session, at the ensemble too if that is there to hear it.
func (s *session) close(linked bool) {
	close(s.closing)
	if !linked {
		s.cancel()
		s.drop()
		within(goodbye, s.parting)
	}
	over := make(chan struct{})
	go func() { // ends with the client, at the latest a second after the end of its connection
		s.conn.Close()
		for range s.ended { // until it is closed
		}
		s.calls.Wait()
		s.hosts.lookups.Wait()
		close(over)
	}()
	if !within(goodbye, over) { // the server hangs
		s.cancel()
		s.drop()
		within(goodbye, over)
	}
	s.cancel()
	s.drop()
}

// within waits for c, but not for longer than d.
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

// transient reports whether err is the fault of the connection, so that the
// same call may well succeed on the next.
func transient(err error) bool {
	for _, t := range []error{
		client.ErrConnectionClosed, client.ErrSessionExpired, client.ErrSessionMoved, client.ErrNoServer, client.ErrClosing,
	} {
		if errors.Is(err, t) {
			return true
		}
	}
	return errors.As(err, new(net.Error)) || errors.Is(err, net.ErrClosed)
}
