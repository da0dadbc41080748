package zk

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	client "github.com/go-zookeeper/zk"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/survey"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/wait"
)

// listInterval is the shortest time between two reads of the list, for each
// child. A small list costs nothing and is read at once. A list of 10,000
// children (0.2 MB) that changes all the time is read at most 20 times a second.
const listInterval = 5 * time.Microsecond

// Watcher returns a watcher of the servers below path. servers are those of the
// ensemble, each "host" or "host:port"; the default port is 2181. A host name
// with several addresses stands for that many servers. It is looked up again
// for each new connection.
//
// Watcher connects to nothing. The watcher's Validate reports every mistake in the
// arguments and options. Its Watch survives a failure of ZooKeeper that lasts
// less than about 10 s. Watch returns an error when a failure lasts longer, and
// at once when ZooKeeper refuses the credentials or denies access to the node or
// one of its children. The watcher is safe for concurrent use.
//
// A path that does not exist has no servers. The watcher writes nothing.
func Watcher(servers []string, path string, opts ...Option) discovery.Watcher {
	return &watcher{newConfig(servers, path, opts)}
}

type watcher struct{ *config }

// Validate reports every mistake in the arguments and options.
func (w *watcher) Validate() error {
	var err error
	if w.format.Decode == nil {
		err = errors.New("the format cannot be read")
	}
	return w.validate(err)
}

// String returns the path and the servers.
func (w *watcher) String() string {
	return "zk " + w.fullPath() + " at " + strings.Join(w.servers, ",")
}

// Watch implements [discovery.Watcher].
//
// It lists the children with a watch, and reads the data of each new child with
// a watch. So a new child costs two requests, and a removed child or new data
// costs one. If a child is deleted and made again, the list does not show it,
// but the watch on its data fires. In each new session, Watch calls Sync and
// reads everything again.
//
// A server drops the event of a watch, and the watch, if the client may not read
// the node at that moment. Therefore, after a session timeout without an event,
// one request checks whether the list has changed.
func (w *watcher) Watch(ctx context.Context, report func([]discovery.Endpoint)) error {
	if err := errors.Join(ctx.Err(), w.Validate()); err != nil {
		return err
	}
	leaf := ""
	if w.format.Alive != "" {
		leaf = "/" + w.format.Alive
	}
	h, err := acquire(w.config, w.fullPath(), !w.format.NamesOnly, leaf) //nolint:contextcheck // the session may outlive this call, for others
	if err != nil {
		return fmt.Errorf("zk: %w", err)
	}
	defer h.release()
	path := strings.TrimSuffix(w.path, "/")
	v := &view{handle: h, set: w.format.NewSet(path, w.onSkipped), unread: make(map[string]bool), format: w.format, at: path}
	v.set.Admit(w.admission)
	v.silence = time.AfterFunc(w.sessionTimeout, h.noEvent)
	defer v.silence.Stop()
	err = discovery.Retry(ctx, func(ctx context.Context, healthy func()) error { return v.follow(ctx, report, healthy) })
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("zk: watching %s: %w", h.path, err)
}

// view is what one Watch knows of the path.
type view struct {
	*handle
	set     *discovery.Set
	version listVersion     // of the list that set is from
	listed  time.Time       // when that list was read
	silence *time.Timer     // runs out a session timeout after the last check of the list
	unread  map[string]bool // children whose data must be read
	alone   bool            // a child was not read with others: none is, until all are read
	servers int             // in the last report
	warner  survey.Warner
	format  format.Format
	at      string // the path as formats know it, without the chroot
}

// follow brings the set up to date, and again after each change, until the
// connection is lost or a call fails. The view outlives it: after a short loss
// of the connection, the session still has its watches.
func (v *view) follow(ctx context.Context, report func([]discovery.Endpoint), healthy func()) error {
	if err := v.awaitConnection(ctx); err != nil {
		return err
	}
	for {
		c := v.takeChanges()
		if err := v.refresh(ctx, c); err != nil {
			v.putBack(c)
			return classify(err)
		}
		v.set.Report(func(set []discovery.Endpoint) {
			v.servers = len(set)
			report(set)
		})
		healthy()
		v.warner.Look(ctx, v.set, v.servers, v.explain)
		if err := v.awaitChange(ctx); err != nil {
			return err
		}
	}
}

// refresh reads what has changed into the set. If it fails, it may have read a
// part.
func (v *view) refresh(ctx context.Context, c changes) error {
	if c.restart {
		// The server may lag behind that of the last session.
		if _, err := call(ctx, v.handle, func(c *client.Conn) (string, error) { return c.Sync(v.path) }); err != nil {
			return err
		}
	}
	stale, err := v.listIsStale(ctx, c)
	if err != nil {
		return err
	}
	if !stale {
		v.addUnread(v.takeChildren(false))
		return v.readChildren(ctx)
	}
	version, names, err := v.list(ctx)
	if err != nil {
		return err
	}
	v.version, v.listed = version, time.Now()
	v.silence.Reset(v.s.key.sessionTimeout)
	added := v.set.Retain(names)
	if !v.data {
		for _, name := range added {
			v.set.Put(name, nil)
		}
		return nil
	}
	v.addUnread(added)
	v.addUnread(v.takeChildren(true))
	if c.restart { // the new session has no watch on their data
		v.addUnread(names)
	}
	if len(v.unread) > len(added) {
		slices.Sort(names)
		maps.DeleteFunc(v.unread, func(name string, _ bool) bool {
			_, exists := slices.BinarySearch(names, name)
			return !exists
		})
	}
	return v.readChildren(ctx)
}

// listIsStale reports whether the list must be read again.
func (v *view) listIsStale(ctx context.Context, c changes) (bool, error) {
	switch {
	case c.restart:
		return true, nil
	case c.node:
		return true, wait.For(ctx, time.Duration(v.set.Len())*listInterval-time.Since(v.listed))
	case c.silent:
		v.silence.Reset(v.s.key.sessionTimeout)
		now, err := call(ctx, v.handle, func(c *client.Conn) (listVersion, error) {
			exists, stat, err := c.Exists(v.path)
			return versionOf(exists, stat), err
		})
		return now != v.version, err
	default:
		return false, nil
	}
}

func (v *view) addUnread(names []string) {
	for _, name := range names {
		v.unread[name] = true
	}
}
