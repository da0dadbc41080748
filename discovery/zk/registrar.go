package zk

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	client "github.com/go-zookeeper/zk"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/memo"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/wait"
)

// removalTimeout bounds the removal of an entry. The rest of
// DeregisterTimeout is for the end of the session.
const removalTimeout = discovery.DeregisterTimeout / 2

// abandonAfter is how long an entry stays whose registration has failed. It is
// longer than the longest pause before the next Register.
const abandonAfter = time.Minute

// Registrar returns a registrar of servers as ephemeral nodes below path. Its
// parameters are those of [Watcher]. ZooKeeper deletes a node when the program is
// gone, at the latest after the session timeout. Missing nodes of the path are
// made and stay.
//
// A node of the same address that another session has is replaced in one step,
// so that watchers do not see it missing. A node that somebody deletes while it
// is registered is put back. If a later session puts its own node there, Register
// returns an error that matches [discovery.ErrConflict], and the next Register
// waits until that node is gone. Data that others write into the node stays.
func Registrar(servers []string, path string, opts ...Option) discovery.Registrar {
	return &registrar{config: newConfig(servers, path, opts)}
}

type registrar struct {
	*config

	memo memo.Memo[past]
}

// past is what a registration knows from the Register before.
type past struct {
	order    int64   // of the registrations of this process
	sessions []int64 // the last ones in which it has written its node
	left     bool    // its node may exist, of a session that could not end well
	held     bool    // it has had the node
	conflict bool    // it has reported that another registration has the node
}

// Validate reports every mistake in the arguments and options.
func (r *registrar) Validate() error {
	var err error
	if r.format.Encode == nil {
		err = errors.New("the format cannot be written")
	}
	return r.validate(err)
}

// maxData bounds the data of a node. A server takes 1 MiB by default
// (jute.maxbuffer), the rest of the request included, and closes the connection
// on which more comes.
const maxData = 1<<20 - 16<<10

// ValidateEndpoint reports what the format or ZooKeeper cannot hold.
func (r *registrar) ValidateEndpoint(e discovery.Endpoint) error {
	name, data, err := r.encode(e)
	switch {
	case err != nil:
		return err
	case len(data) > maxData:
		return fmt.Errorf("zk: the node would have %d bytes, only up to %d (%w)", len(data), maxData, errors.ErrUnsupported)
	case r.format.Decode == nil:
		return nil
	}
	if eps, err := r.format.Decode(name, data); err != nil || len(eps) == 0 {
		return fmt.Errorf("zk: what the format writes is no server to its readers (%w): %w", errors.ErrUnsupported,
			cmp.Or(err, errors.New("it gives none")))
	}
	return nil
}

func (r *registrar) encode(e discovery.Endpoint) (name string, data []byte, err error) {
	name, data, err = r.format.Encode(strings.TrimSuffix(r.path, "/"), e)
	if err != nil {
		return "", nil, fmt.Errorf("zk: %w", err)
	}
	return name, data, nil
}

// Register implements [discovery.Registrar].
func (r *registrar) Register(ctx context.Context, e discovery.Endpoint, registered func()) error {
	if err := errors.Join(ctx.Err(), r.Validate()); err != nil {
		return err
	}
	name, data, err := r.encode(e)
	if err != nil {
		return err
	}
	node := r.fullPath() + "/" + name
	h, err := acquire(r.config, node, false, "") //nolint:contextcheck // the session may outlive this call, for others
	if err != nil {
		return fmt.Errorf("zk: %w", err)
	}
	defer h.release()
	g := &registration{handle: h, data: data, acl: r.acl.entries(), registered: registered, past: r.memo.Take(ctx, node)}
	g.claim(&g.past.order)
	err = wait.First(ctx, g.awaitExpiry, func(ctx context.Context) error { return discovery.Retry(ctx, g.hold) })
	if ctx.Err() == nil {
		g.conflict = errors.Is(err, discovery.ErrConflict)
		g.left = !g.conflict && (g.left || g.mustRemove())
		r.memo.Leave(ctx, node, g.past)
		g.abandon()
		return fmt.Errorf("zk: registering %s: %w", node, err)
	}
	if err := g.remove(); err != nil {
		return fmt.Errorf("zk: %s may stay for up to %v: removing it: %w", node, r.sessionTimeout, err)
	}
	return ctx.Err()
}

// registration is one ephemeral node at path.
type registration struct {
	*handle
	past

	data []byte
	acl  []client.ACL

	registered func()

	holds  atomic.Bool    // the session has the node, as far as is known
	writes sync.WaitGroup // calls that may create the node
	owner  int64          // the session in which it was last registered
}

// hold makes sure that the registry has the node, and again after each change,
// until the connection is lost or a call fails. The registration outlives it:
// after a short loss of the connection, the node is still there. A registration
// that has reported a conflict waits for the node to be free.
func (g *registration) hold(ctx context.Context, healthy func()) error {
	if err := g.awaitConnection(ctx); err != nil {
		return err
	}
	for {
		if c := g.takeChanges(); c != (changes{}) {
			switch err := g.ensure(ctx); {
			case err == nil:
				g.held, g.conflict, g.left = true, false, false
				g.holds.Store(true)
				g.registered()
			case !g.conflict || !errors.Is(err, discovery.ErrConflict):
				g.putBack(c)
				return classify(err)
			}
		}
		healthy()
		if err := g.awaitChange(ctx); err != nil {
			return err
		}
	}
}

// awaitExpiry returns an error when the ensemble has not answered for so long,
// while the session has the node, that it has dropped the session.
func (g *registration) awaitExpiry(ctx context.Context) error {
	next := g.s.key.sessionTimeout / 8
	for {
		if err := wait.For(ctx, next); err != nil {
			return err
		}
		// If the session gets the node later, it expires no sooner than that.
		next = g.s.key.sessionTimeout / 8
		if !g.holds.Load() {
			continue
		}
		if next = g.s.remaining(); next <= 0 {
			return fmt.Errorf("the session has expired, for no server has answered for %v: %s", g.s.key.sessionTimeout, g.s.hosts.describeFailures())
		}
	}
}

// ensure creates the node, or makes sure that it exists and belongs to the
// session, and sets a watch on it. It returns an error that matches
// [discovery.ErrConflict] if a later registration has the node; then the handle
// sees a change when that ends.
func (g *registration) ensure(ctx context.Context) error {
	for range 10 { // each time because of a change in between
		if g.hasNewer() {
			return fmt.Errorf("%w, in this program", discovery.ErrConflict)
		}
		switch err := g.create(ctx); {
		case err == nil, errors.Is(err, client.ErrNodeExists):
		case errors.Is(err, client.ErrNoNode):
			if err := g.createParents(ctx); err != nil {
				return err
			}
			continue
		default:
			return err
		}
		// Also after a success, because this sets the watch. If the answer to an
		// earlier create was lost, it says to which session the node belongs.
		now, err := g.get(ctx)
		if errors.Is(err, client.ErrNoNode) {
			continue
		}
		if err != nil {
			return err
		}
		session := g.s.conn.SessionID()
		switch {
		case now.owner == session && (g.owner == session || bytes.Equal(now.data, g.data)):
			g.owner = session
			return nil // later data of others stays
		case now.owner == session:
			err = g.set(ctx, now.version)
		case g.held && now.owner != 0 && !slices.Contains(g.sessions, now.owner):
			return fmt.Errorf("%w: session 0x%x has %s", discovery.ErrConflict, now.owner, g.path)
		default: // the node of an older session, or of none
			err = g.replace(ctx, now.version)
		}
		if err != nil && !errors.Is(err, client.ErrNoNode) && !errors.Is(err, client.ErrBadVersion) && !errors.Is(err, client.ErrNodeExists) {
			return err
		}
	}
	return errors.New("the node keeps changing")
}

// write makes a call that may create the node.
func (g *registration) write(ctx context.Context, f func(*client.Conn) error) error {
	g.mayExist()
	if id := g.s.conn.SessionID(); id != 0 && !slices.Contains(g.sessions, id) {
		const most = 8
		g.sessions = append(g.sessions[max(0, len(g.sessions)-most+1):], id)
	}
	g.writes.Add(1)
	_, err := call(ctx, g.handle, func(c *client.Conn) (struct{}, error) {
		defer g.writes.Done()
		return struct{}{}, f(c)
	})
	return err
}

func (g *registration) create(ctx context.Context) error {
	return g.write(ctx, func(c *client.Conn) error {
		_, err := c.Create(g.path, g.data, client.FlagEphemeral, g.acl)
		return err
	})
}

func (g *registration) set(ctx context.Context, version int32) error {
	return g.write(ctx, func(c *client.Conn) error {
		_, err := c.Set(g.path, g.data, version)
		return err
	})
}

// replace deletes the existing node and creates this one in one step, so that
// no watcher sees it missing.
func (g *registration) replace(ctx context.Context, version int32) error {
	return g.write(ctx, func(c *client.Conn) error {
		answers, err := c.Multi(&client.DeleteRequest{Path: g.path, Version: version},
			&client.CreateRequest{Path: g.path, Data: g.data, Acl: g.acl, Flags: client.FlagEphemeral})
		for _, a := range answers {
			if err == nil {
				err = a.Error
			}
		}
		return err
	})
}

// createParents creates the missing nodes of the path above the entry.
func (g *registration) createParents(ctx context.Context) error {
	_, err := call(ctx, g.handle, func(c *client.Conn) (struct{}, error) {
		for i := 1; i < len(g.path); i++ {
			if g.path[i] != '/' {
				continue
			}
			// Exists comes first: everybody may call it, and Create may be denied.
			exists, _, err := c.Exists(g.path[:i])
			if err == nil && !exists {
				_, err = c.Create(g.path[:i], nil, 0, g.acl)
			}
			if err != nil && !errors.Is(err, client.ErrNodeExists) {
				return struct{}{}, fmt.Errorf("creating %s: %w", g.path[:i], err)
			}
		}
		return struct{}{}, nil
	})
	return err
}

// node is what exists at path.
type node struct {
	data    []byte
	owner   int64 // the session of an ephemeral node, zero for a persistent one
	version int32
}

// get returns the node and sets a watch on it.
func (g *registration) get(ctx context.Context) (node, error) {
	return call(ctx, g.handle, func(c *client.Conn) (node, error) {
		defer g.settingWatches(nil)()
		data, stat, _, err := c.GetW(g.path)
		if err != nil {
			return node{}, err
		}
		return node{data, stat.EphemeralOwner, stat.Version}, nil
	})
}

// remove removes the node, when the context of Register has ended.
func (g *registration) remove() error {
	if !g.mustRemove() && (!g.left || g.hasNewer()) {
		return nil
	}
	removed := make(chan struct{})
	var err error
	g.s.calls.Go(func() { // ends with the removal, or with the session
		g.writes.Wait() // a write that is under way could create the node again
		err = g.s.removeNode(g.path, g.sessions...)
		close(removed)
	})
	if !within(removalTimeout, removed) {
		return fmt.Errorf("no answer within %v, %s", removalTimeout, g.s.hosts.describeFailures())
	}
	return err
}

// abandon removes a node later whose registration has failed. Until then, the
// next Register may use it. If there is none, and the session has other users,
// nothing else would remove the node.
func (g *registration) abandon() {
	if !g.mustRemove() {
		return
	}
	s, path := g.s, g.path
	s.calls.Go(func() { // ends with the session, or after that time and some calls
		if within(abandonAfter, s.closing) || s.inUse(path) {
			return
		}
		_ = s.removeNode(path)
	})
}

// removeNode deletes a node of the session, or of one of the older ones. Without a
// connection, it retries for as long as the session has other users, because nothing
// else would delete the node.
func (s *session) removeNode(path string, older ...int64) error {
	for {
		_, stat, err := s.conn.Exists(path)
		if err == nil && (stat.EphemeralOwner == s.conn.SessionID() || slices.Contains(older, stat.EphemeralOwner)) {
			err = s.conn.Delete(path, stat.Version)
		}
		switch {
		case err == nil, errors.Is(err, client.ErrNoNode):
			return nil
		case !transient(err) && !errors.Is(err, client.ErrBadVersion):
			return err
		}
		// Without a connection, a call waits for the next one, so this loop has
		// a pause.
		if within(50*time.Millisecond, s.closing) {
			return err
		}
	}
}
