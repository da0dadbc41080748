package zk

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	client "github.com/go-zookeeper/zk"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

// listRest is, for each child, how long the list of children is left alone after
// it was read. It is nothing for a small list, which costs nothing; one of
// 10,000 (0.2 MB) is read at most 20 times a second while it changes all the
// time.
const listRest = 5 * time.Microsecond

type watcher struct{ c *config }

func (w *watcher) Validate() error {
	if err := w.c.validate(); err != nil {
		return err
	}
	if w.c.format.Decode == nil {
		return errNoDecoder
	}
	return nil
}

// Watch lists the children with a watch, and reads with a watch each that it
// does not know, so that a child that is added costs two requests, one that is
// removed, or whose data changes, costs one. Of a child that was deleted and
// made again the list shows nothing; its watch tells. All is read anew in each
// new session, after a Sync.
//
// A watch can be lost without a word: a server drops the event if the client
// may not read the node at that moment. So when nothing was heard for a while,
// a request finds out whether the list is still the last one.
func (w *watcher) Watch(ctx context.Context, report func([]core.Endpoint)) error {
	if err := errors.Join(ctx.Err(), w.Validate()); err != nil {
		return err
	}
	u, err := acquire(w.c, w.c.full(), !w.c.format.NamesOnly) //nolint:contextcheck // the session may outlive this call, for others
	if err != nil {
		return fmt.Errorf("zk: %w", err)
	}
	defer u.leave()
	v := &view{user: u, set: discovery.NewSet(w.c.format.Decode, w.c.skipped), unread: make(map[string]bool)}
	v.silent = time.AfterFunc(w.c.sessionTimeout, u.heardNothing)
	defer v.silent.Stop()
	for err == nil {
		err = v.follow(ctx, report)
	}
	return fmt.Errorf("zk: watching %s: %w", u.path, err)
}

// view is what one Watch knows.
type view struct {
	*user
	set    *discovery.Set
	at     place           // the list that set is from
	listed time.Time       // when it was read
	silent *time.Timer     // runs out when nothing was heard of the list for a session timeout
	unread map[string]bool // children to read
	ailing time.Time       // since when connections have failed; zero after a success
}

// follow waits for news and brings the set up to date.
func (v *view) follow(ctx context.Context, report func([]core.Endpoint)) error {
	if err := v.until(ctx, v.wake); err != nil {
		return err
	}
	if err := v.up(ctx); err != nil {
		return err
	}
	n := v.news()
	switch err := v.refresh(ctx, n); {
	case err == nil:
		v.ailing = time.Time{}
		v.set.Report(report)
		return nil
	case !transient(err):
		return err
	case v.ailing.IsZero():
		v.ailing = time.Now()
	case time.Since(v.ailing) > patience:
		return err
	}
	v.again(n.over)
	return v.rest(ctx, rand.N(50*time.Millisecond)) // the session may not know yet that its connection is down
}

// refresh reads what has changed. Nothing is reported before all of it is read.
func (v *view) refresh(ctx context.Context, n news) error {
	if n.over {
		// A server may lag behind the one of the last session.
		if _, err := do(ctx, v.user, func(c *client.Conn) (string, error) { return c.Sync(v.path) }); err != nil {
			return err
		}
	}
	stale, err := v.stale(ctx, n)
	if err != nil {
		return err
	}
	if !stale {
		v.toRead(v.children(false))
		return v.read(ctx)
	}
	at, names, err := v.list(ctx)
	if err != nil {
		return err
	}
	v.at, v.listed = at, time.Now()
	v.silent.Reset(v.s.key.sessionTimeout)
	unknown := v.set.Retain(names)
	if !v.data {
		for _, name := range unknown {
			v.set.Put(name, nil)
		}
		return nil
	}
	v.toRead(unknown)
	v.toRead(v.children(true))
	if n.over { // what was read before is not watched any more
		v.toRead(names)
	}
	if len(v.unread) > len(unknown) {
		slices.Sort(names)
		maps.DeleteFunc(v.unread, func(name string, _ bool) bool {
			_, there := slices.BinarySearch(names, name)
			return !there
		})
	}
	return v.read(ctx)
}

// stale reports whether the list is to be read again.
func (v *view) stale(ctx context.Context, n news) (bool, error) {
	switch {
	case n.over:
		return true, nil
	case n.moved:
		return true, v.rest(ctx, time.Duration(v.set.Len())*listRest-time.Since(v.listed))
	case n.doubt:
		v.silent.Reset(v.s.key.sessionTimeout)
		now, err := do(ctx, v.user, func(c *client.Conn) (place, error) {
			there, stat, err := c.Exists(v.path)
			return placeOf(there, stat), err
		})
		return now != v.at, err
	default:
		return false, nil
	}
}

func (v *view) toRead(names []string) {
	for _, name := range names {
		v.unread[name] = true
	}
}
