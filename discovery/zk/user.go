package zk

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	client "github.com/go-zookeeper/zk"
)

// user is one watch or registration at a session: what it has to look at
// again, and what it leaves behind.
type user struct {
	s     *session
	path  string
	data  bool // it reads the children's data
	begun time.Time
	wake  chan struct{} // has something when there is news

	// All below belongs to s.mu.
	over    bool            // nothing is known: a first look, or a new session, which has no watches
	moved   bool            // what is at path has changed
	doubt   bool            // nothing was heard of what is at path for a while
	touched map[string]bool // children that have changed; true for one that was deleted
	armed   map[string]bool // children whose data is watched, or about to be
	pending int             // calls under way that set watches
	left    bool
}

func (s *session) join(path string, data bool) *user {
	u := &user{
		s: s, path: path, data: data, begun: time.Now(), wake: make(chan struct{}, 1),
		touched: make(map[string]bool), armed: make(map[string]bool),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	if s.users[path] == nil {
		s.users[path] = make(map[*user]struct{})
	}
	s.users[path][u] = struct{}{}
	u.startOverLocked()
	return u
}

func (u *user) wakeLocked() {
	select {
	case u.wake <- struct{}{}:
	default: // it has not seen the last one yet, and will see both
	}
}

func (u *user) startOverLocked() {
	u.over = true
	clear(u.armed)
	clear(u.touched)
	u.wakeLocked()
}

func (u *user) changedLocked() {
	u.moved = true
	u.wakeLocked()
}

func (u *user) childChangedLocked(name string, what client.EventType) {
	if !u.data {
		return
	}
	u.touched[name] = what == client.EventNodeDeleted
	if what == client.EventNodeDeleted {
		// The list of children has changed too, and the event that says so
		// comes next. This one tells that a child by the same name is another.
		delete(u.armed, name)
		return
	}
	u.wakeLocked()
}

// news is what there is to look at.
type news struct{ over, moved, doubt bool }

// news returns what is new since the last call.
func (u *user) news() news {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	n := news{u.over, u.moved, u.doubt}
	u.over, u.moved, u.doubt = false, false, false
	return n
}

// heardNothing makes news of it that there was none.
func (u *user) heardNothing() {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	u.doubt = true
	u.wakeLocked()
}

// again puts back news that could not be followed up.
func (u *user) again(over bool) {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	u.over = u.over || over
	u.changedLocked()
}

// children returns those whose data has changed. Those that were deleted are
// among them only after a new list, which tells whether there are others by
// their names.
func (u *user) children(listed bool) []string {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	var names []string
	for name, deleted := range u.touched {
		if listed || !deleted {
			names = append(names, name)
			delete(u.touched, name)
		}
	}
	return names
}

// until waits for c. It returns an error when ctx ends, and when there was no
// ensemble for as long as a user's patience lasts.
func (u *user) until(ctx context.Context, c <-chan struct{}) error {
	for {
		st := u.s.status()
		if st.refused != nil {
			return st.refused
		}
		var late <-chan time.Time
		if !st.up {
			since := st.since
			if u.begun.After(since) {
				since = u.begun
			}
			t := time.NewTimer(patience - time.Since(since))
			defer t.Stop()
			late = t.C
		}
		select {
		case <-c:
			return nil
		case <-st.changed:
		case <-late:
			return u.s.away()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// up waits until calls can be made.
func (u *user) up(ctx context.Context) error {
	for {
		st := u.s.status()
		if st.up {
			return ctx.Err()
		}
		if err := u.until(ctx, st.changed); err != nil {
			return err
		}
	}
}

// rest does nothing for a while.
func (u *user) rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// do makes a call of the client, which no context can end: when until gives
// it up, it goes on in a goroutine of the session.
func do[T any](ctx context.Context, u *user, call func(*client.Conn) (T, error)) (T, error) {
	var (
		answer T
		err    error
		done   = make(chan struct{})
	)
	u.s.calls.Go(func() {
		defer close(done)
		answer, err = call(u.s.conn)
	})
	if gone := u.until(ctx, done); gone != nil {
		var none T
		return none, gone
	}
	return answer, err
}

// arm notes that a call is under way which sets watches, at path or at the
// data of a child. The result is to be called when it has returned.
func (u *user) arm(child string) (returned func()) {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	u.pending++
	if child != "" {
		u.armed[child] = true
	}
	return sync.OnceFunc(func() {
		u.s.mu.Lock()
		u.pending--
		remove := u.leftoversLocked()
		w := u.s.wire
		u.s.mu.Unlock()
		if len(remove) > 0 && w != nil {
			w.remove(remove)
		}
	})
}

// leave ends the use of the session. What the user has watched is not watched
// any more, unless the connection is down: then such a watch is set up again
// and fires once, for nobody.
func (u *user) leave() {
	s := u.s
	s.mu.Lock()
	u.left = true
	delete(s.users[u.path], u)
	if len(s.users[u.path]) == 0 {
		delete(s.users, u.path)
	}
	remove := u.leftoversLocked()
	w := s.wire
	if len(remove) > 0 && w != nil && s.count > 1 {
		s.calls.Go(func() { w.remove(remove) }) // ends with a Write, which has a deadline
	}
	s.mu.Unlock()
	s.leave()
}

// leftoversLocked returns the watches that nobody needs any more, once the
// user has left and its last call has returned.
func (u *user) leftoversLocked() []removal {
	if !u.left || u.pending > 0 || !u.s.linked {
		return nil
	}
	var all []removal
	others := slices.Collect(maps.Keys(u.s.users[u.path]))
	if len(others) == 0 {
		all = append(all, removal{u.path, watchChildren}, removal{u.path, watchData})
	}
	if !slices.ContainsFunc(others, func(o *user) bool { return o.data }) {
		for name := range u.armed {
			all = append(all, removal{u.path + "/" + name, watchData})
		}
	}
	return all
}
