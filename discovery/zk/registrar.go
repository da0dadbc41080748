package zk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	client "github.com/go-zookeeper/zk"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

// withdrawal is how long an entry may take to be removed. The other half of
// DeregisterTimeout is for the end of the session.
const withdrawal = discovery.DeregisterTimeout / 2

// abandonment is how long an entry stays whose registration has failed: longer
// than the longest pause before the next attempt.
const abandonment = time.Minute

type registrar struct{ c *config }

func (r *registrar) Validate() error {
	if err := r.c.validate(); err != nil {
		return err
	}
	if r.c.format.Encode == nil {
		return errNoEncoder
	}
	return nil
}

// Register is of discovery.Registrar.
func (r *registrar) Register(ctx context.Context, e core.Endpoint) error {
	if err := errors.Join(ctx.Err(), r.Validate()); err != nil {
		return err
	}
	name, data, err := r.c.format.Encode(strings.TrimSuffix(r.c.path, "/"), e)
	if err != nil {
		return fmt.Errorf("zk: %w", err)
	}
	node := r.c.full() + "/" + name
	u, err := acquire(r.c, node, false) //nolint:contextcheck // the session may outlive this call, for others
	if err != nil {
		return fmt.Errorf("zk: %w", err)
	}
	defer u.leave()
	g := &entry{user: u, data: data, acl: r.c.acl.entries()}
	for err == nil {
		err = g.follow(ctx)
	}
	switch {
	case ctx.Err() != nil:
		err = g.withdraw(ctx)
	case g.made:
		g.abandon()
	}
	return fmt.Errorf("zk: registering %s: %w", node, err)
}

// entry is one registration: an ephemeral node at path.
type entry struct {
	*user
	data []byte
	acl  []client.ACL

	calls  sync.WaitGroup // that may put the entry into the registry
	made   bool           // it may be there
	owner  int64          // the session that had it last
	ailing time.Time      // since when connections have failed; zero after a success
}

// follow waits for news and sees to it that the registry has the entry.
func (g *entry) follow(ctx context.Context) error {
	if err := g.until(ctx, g.wake); err != nil {
		return err
	}
	if err := g.up(ctx); err != nil {
		return err
	}
	n := g.news()
	if n == (news{}) { // seen with the last
		return nil
	}
	switch err := g.hold(ctx); {
	case err == nil:
		g.ailing = time.Time{}
		discovery.Confirm(ctx)
		return nil
	case !transient(err):
		return err
	case g.ailing.IsZero():
		g.ailing = time.Now()
	case time.Since(g.ailing) > patience:
		return err
	}
	g.again(n.over)
	return g.rest(ctx, rand.N(50*time.Millisecond))
}

// hold makes the entry, or makes sure that it is there and the session's own,
// and leaves a watch.
func (g *entry) hold(ctx context.Context) error {
	for range 10 { // each time after somebody else has interfered
		switch err := g.create(ctx); {
		case err == nil, errors.Is(err, client.ErrNodeExists):
		case errors.Is(err, client.ErrNoNode):
			if err := g.parents(ctx); err != nil {
				return err
			}
			continue
		default:
			return err
		}
		// Also after a success: this sets the watch. And when the answer to an
		// earlier attempt was lost, it tells whose the entry is.
		now, err := g.look(ctx)
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
			return nil // what others have written into it since is theirs
		case g.owner == session:
			return fmt.Errorf("session 0x%x has registered the same address", now.owner)
		case now.owner == session:
			err = g.write(ctx, now.version)
		default: // left behind by a session that is dead, or will be
			err = g.replace(ctx, now.version)
		}
		if err != nil && !errors.Is(err, client.ErrNoNode) && !errors.Is(err, client.ErrBadVersion) && !errors.Is(err, client.ErrNodeExists) {
			return err
		}
	}
	return errors.New("somebody else changes it again and again")
}

// change makes a call that may put the entry into the registry.
func (g *entry) change(ctx context.Context, call func(*client.Conn) error) error {
	g.made = true
	g.calls.Add(1)
	_, err := do(ctx, g.user, func(c *client.Conn) (struct{}, error) {
		defer g.calls.Done()
		return struct{}{}, call(c)
	})
	return err
}

func (g *entry) create(ctx context.Context) error {
	return g.change(ctx, func(c *client.Conn) error {
		_, err := c.Create(g.path, g.data, client.FlagEphemeral, g.acl)
		return err
	})
}

func (g *entry) write(ctx context.Context, version int32) error {
	return g.change(ctx, func(c *client.Conn) error {
		_, err := c.Set(g.path, g.data, version)
		return err
	})
}

// replace deletes what is there and makes the entry in one step, so that
// nobody sees it missing.
func (g *entry) replace(ctx context.Context, version int32) error {
	return g.change(ctx, func(c *client.Conn) error {
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

// parents makes what is missing of the path above the entry.
func (g *entry) parents(ctx context.Context) error {
	_, err := do(ctx, g.user, func(c *client.Conn) (struct{}, error) {
		for i := 1; i < len(g.path); i++ {
			if g.path[i] != '/' {
				continue
			}
			// Asked first: to look is allowed to everybody, to make is not.
			there, _, err := c.Exists(g.path[:i])
			if err == nil && !there {
				_, err = c.Create(g.path[:i], nil, 0, g.acl)
			}
			if err != nil && !errors.Is(err, client.ErrNodeExists) {
				return struct{}{}, fmt.Errorf("making %s: %w", g.path[:i], err)
			}
		}
		return struct{}{}, nil
	})
	return err
}

// found is what is at path.
type found struct {
	data    []byte
	owner   int64 // the session, zero if the node is persistent
	version int32
}

func (g *entry) look(ctx context.Context) (found, error) {
	return do(ctx, g.user, func(c *client.Conn) (found, error) {
		defer g.arm("")()
		data, stat, _, err := c.GetW(g.path)
		if err != nil {
			return found{}, err
		}
		return found{data, stat.EphemeralOwner, stat.Version}, nil
	})
}

// withdraw removes the entry, after ctx has ended.
func (g *entry) withdraw(ctx context.Context) error {
	if !g.made {
		return ctx.Err()
	}
	removed := make(chan struct{})
	var err error
	g.s.calls.Go(func() { // ends when it is removed, or with the session
		g.calls.Wait() // what is under way would put it back
		err = g.s.remove(g.path)
		close(removed)
	})
	if !within(withdrawal, removed) {
		return fmt.Errorf("it may still be there: no answer within %v, %s", withdrawal, g.s.hosts.trouble())
	}
	if err != nil {
		return fmt.Errorf("it may still be there: %w", err)
	}
	return ctx.Err()
}

// abandon lets an entry go whose registration has failed: until the next
// attempt it may well be of use, but if there is none, a session that has
// other users would keep it for ever.
func (g *entry) abandon() {
	s, path := g.s, g.path
	s.calls.Go(func() { // ends with the session, or after that time and some calls
		if within(abandonment, s.closing) || s.used(path) {
			return
		}
		_ = s.remove(path)
	})
}

// remove deletes an entry of the session. When there is no connection, it goes
// on for as long as the session has other users: then nobody else would
// delete it.
func (s *session) remove(path string) error {
	for {
		_, stat, err := s.conn.Exists(path)
		if err == nil && stat.EphemeralOwner == s.conn.SessionID() {
			err = s.conn.Delete(path, stat.Version)
		}
		switch {
		case err == nil, errors.Is(err, client.ErrNoNode):
			return nil
		case !transient(err) && !errors.Is(err, client.ErrBadVersion):
			return err
		}
		// A call without a connection waits for the next one, so this is not a
		// loop without rest.
		if within(50*time.Millisecond, s.closing) {
			return err
		}
	}
}

// entries is a as ZooKeeper has it.
func (a ACL) entries() []client.ACL {
	switch a {
	case Creator:
		return client.AuthACL(client.PermAll)
	case CreatorAllRead:
		return append(client.AuthACL(client.PermAll), client.WorldACL(client.PermRead)...)
	default:
		return client.WorldACL(client.PermAll)
	}
}
