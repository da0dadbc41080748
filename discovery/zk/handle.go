package zk

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	client "github.com/go-zookeeper/zk"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// lostCallGrace bounds a call once its connection is lost. A call that was sent
// then fails at once. A call that was not would wait for the next connection.
const lostCallGrace = time.Second

// handle is the use of a session by one Watch or Register: the changes that it
// has not looked at yet, and the watches that it has set.
type handle struct {
	s    *session
	path string
	data bool          // it reads the children's data
	leaf string        // with a slash, if it watches that node below each child instead of the child's data
	wake chan struct{} // has a value when there are changes

	// The session's mutex guards all fields below.
	changes
	children map[string]bool // that have changed; true for a child that was deleted
	watched  map[string]bool // children with a watch on their data or leaf, set or about to be
	setting  int             // calls under way that set watches
	released bool
	// order is that of a registration among those of this process, later ones
	// have greater numbers. It is zero for a watch.
	order int64
	tried bool // the node of a registration may exist, and belong to the session
}

// changes says what a handle must look at.
type changes struct {
	restart bool // everything: the handle or the session is new and has no watches
	node    bool // the node at path, or its list of children, has changed
	silent  bool // no event for a session timeout
}

func (s *session) newHandle(path string, data bool, leaf string) *handle {
	h := &handle{
		s: s, path: path, data: data, leaf: leaf, wake: make(chan struct{}, 1),
		children: make(map[string]bool), watched: make(map[string]bool),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	if s.handles[path] == nil {
		s.handles[path] = make(map[*handle]struct{})
	}
	s.handles[path][h] = struct{}{}
	h.restartLocked()
	return h
}

// claim makes the handle one of a registration. *order is its place among the
// registrations of this process, and is set by the first call.
func (h *handle) claim(order *int64) {
	if *order == 0 {
		*order = sessions.registrations.Add(1)
	}
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.order = *order
	h.wakeOthersLocked()
}

// wakeOthersLocked makes the other registrations of the node look at it again.
func (h *handle) wakeOthersLocked() {
	for o := range h.s.handles[h.path] {
		if o != h && o.order != 0 {
			o.nodeChangedLocked()
		}
	}
}

// newerLocked returns a later registration of the same node in this session, or
// nil. They share the session, and so the node does not tell them apart.
func (h *handle) newerLocked() *handle {
	for o := range h.s.handles[h.path] {
		if o.order > h.order {
			return o
		}
	}
	return nil
}

func (h *handle) hasNewer() bool {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	return h.newerLocked() != nil
}

// mayExist notes that the node of the registration may exist from now on.
func (h *handle) mayExist() {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.tried = true
}

// mustRemove reports whether the registration has to remove the node at its end.
// If there is a newer one in the session, that one has to.
func (h *handle) mustRemove() bool {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	if newer := h.newerLocked(); newer != nil {
		newer.tried = newer.tried || h.tried
		return false
	}
	return h.tried
}

func (h *handle) wakeLocked() {
	select {
	case h.wake <- struct{}{}:
	default: // it has not taken the last value yet, and then looks at both changes
	}
}

func (h *handle) restartLocked() {
	h.restart = true
	clear(h.watched)
	clear(h.children)
	h.wakeLocked()
}

func (h *handle) nodeChangedLocked() {
	h.node = true
	h.wakeLocked()
}

func (h *handle) childChangedLocked(name string, what client.EventType) {
	if !h.data {
		return
	}
	h.children[name] = what == client.EventNodeDeleted
	if what == client.EventNodeDeleted {
		// The list of children has changed, too, and the next event says so.
		// This event distinguishes a new child with the same name.
		delete(h.watched, name)
		return
	}
	h.wakeLocked()
}

// noEvent notes that no event came for a session timeout.
func (h *handle) noEvent() {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.silent = true
	h.wakeLocked()
}

// takeChanges returns the changes since the last call.
func (h *handle) takeChanges() changes {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	c := h.changes
	h.changes = changes{}
	return c
}

// putBack returns changes that the handle could not look at.
func (h *handle) putBack(c changes) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.restart = h.restart || c.restart
	h.node = h.node || c.node
	h.silent = h.silent || c.silent
}

// takeChildren returns the children whose data has changed since the last call.
// It returns a deleted child only after a new list, which says whether there is
// another one with its name.
func (h *handle) takeChildren(listed bool) []string {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	var names []string
	for name, deleted := range h.children {
		if listed || !deleted {
			names = append(names, name)
			delete(h.children, name)
		}
	}
	return names
}

// awaitConnection waits until calls can be made, for up to
// [discovery.RetryWindow].
func (h *handle) awaitConnection(ctx context.Context) error {
	late := time.NewTimer(discovery.RetryWindow)
	defer late.Stop()
	for {
		failed := h.s.hosts.nextFailure()
		st, failure := h.s.status(), h.s.hosts.failure()
		switch {
		case st.refused != nil:
			return discovery.Permanent(st.refused)
		case st.connected:
			return ctx.Err()
		case failure != nil:
			discovery.ReportFailure(ctx, fmt.Errorf("zk: %s: no ensemble yet: %w", h.path, failure))
		}
		select {
		case <-st.changed:
		case <-failed:
		case <-late.C:
			return h.s.giveUp()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// awaitChange waits for the next change. It returns an error when the
// connection is lost.
func (h *handle) awaitChange(ctx context.Context) error {
	for {
		st := h.s.status()
		if !st.connected {
			return errConnectionLost
		}
		select {
		case <-h.wake:
			return nil
		case <-st.changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// call makes a call of the client, which no context can end. If call returns
// earlier, the call goes on in a goroutine of the session.
func call[T any](ctx context.Context, h *handle, f func(*client.Conn) (T, error)) (T, error) {
	var (
		answer T
		err    error
		done   = make(chan struct{})
		late   <-chan time.Time
	)
	h.s.calls.Go(func() {
		defer close(done)
		answer, err = f(h.s.conn)
	})
	for {
		st := h.s.status()
		if st.connected {
			late = nil
		} else if late == nil {
			t := time.NewTimer(lostCallGrace)
			defer t.Stop()
			late = t.C
		}
		var none T
		select {
		case <-done:
			return answer, err
		case <-st.changed:
		case <-late:
			return none, errConnectionLost
		case <-ctx.Done():
			return none, ctx.Err()
		}
	}
}

// settingWatches notes that a call is under way that sets watches: at path, or on the
// data of children. The caller calls the result when the call has returned.
func (h *handle) settingWatches(children []string) (returned func()) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.setting++
	for _, name := range children {
		h.watched[name] = true
	}
	return sync.OnceFunc(func() {
		h.s.mu.Lock()
		h.setting--
		unneeded := h.unneededLocked()
		w := h.s.wire
		h.s.mu.Unlock()
		if len(unneeded) > 0 && w != nil {
			w.remove(unneeded)
		}
	})
}

// release ends the use of the session and removes the watches that only this
// handle needs. If the connection is down, or new, a watch may stay: it is set again, it
// fires once, and nobody needs it.
func (h *handle) release() {
	s := h.s
	s.mu.Lock()
	h.released = true
	delete(s.handles[h.path], h)
	if h.order != 0 {
		h.wakeOthersLocked()
	}
	if len(s.handles[h.path]) == 0 {
		delete(s.handles, h.path)
	}
	unneeded := h.unneededLocked()
	w := s.wire
	if len(unneeded) > 0 && w != nil && s.count > 1 {
		s.calls.Go(func() { w.remove(unneeded) }) // ends with a Write, which has a deadline
	}
	s.mu.Unlock()
	s.release()
}

// unneededLocked returns the watches that no handle needs any more, once this
// one is released and its last call has returned.
func (h *handle) unneededLocked() []removal {
	if !h.released || h.setting > 0 || !h.s.connected {
		return nil
	}
	var all []removal
	others := slices.Collect(maps.Keys(h.s.handles[h.path]))
	if len(others) == 0 {
		all = append(all, removal{h.path, watchChildren}, removal{h.path, watchData})
	}
	if !slices.ContainsFunc(others, func(o *handle) bool { return o.data && o.leaf == h.leaf }) {
		for name := range h.watched {
			all = append(all, removal{h.path + "/" + name + h.leaf, watchData})
		}
	}
	return all
}
