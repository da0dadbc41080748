package zk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	client "github.com/go-zookeeper/zk"
)

// maxReads is the number of children that are read at a time.
const maxReads = 128

// maxRead is how many bytes of data are held, beside those of maxReads children,
// before they become endpoints.
const maxRead = 16 << 20

// listVersion identifies a list of children by the transactions that created
// the node and last changed its children. It is zero if the node does not
// exist.
type listVersion struct{ created, childrenChanged int64 }

func versionOf(exists bool, stat *client.Stat) listVersion {
	if !exists {
		return listVersion{}
	}
	return listVersion{stat.Czxid, stat.Pzxid}
}

// list returns the names of the children, none if path does not exist, and sets
// a watch that fires when they change.
func (v *view) list(ctx context.Context) (listVersion, []string, error) {
	type list struct {
		version listVersion
		names   []string
	}
	l, err := call(ctx, v.handle, func(c *client.Conn) (list, error) {
		defer v.settingWatches(nil)()
		for {
			names, stat, _, err := c.ChildrenW(v.path)
			if !errors.Is(err, client.ErrNoNode) {
				return list{versionOf(err == nil, stat), names}, err
			}
			if exists, _, _, err := c.ExistsW(v.path); !exists || err != nil {
				return list{}, err
			}
		}
	})
	return l.version, l.names, err
}

// readChildren reads the data of the unread children and sets a watch on each.
// If it fails, the children that it has read are no longer unread.
func (v *view) readChildren(ctx context.Context) error {
	for len(v.unread) > 0 {
		children, err := call(ctx, v.handle, func(c *client.Conn) ([]child, error) {
			return v.readSome(ctx, c, slices.Sorted(maps.Keys(v.unread))), nil
		})
		slices.SortFunc(children, byName) // the set has its entries in this order
		for _, c := range children {
			switch {
			case ctx.Err() != nil: // large data take their time
				return ctx.Err()
			case c.err == nil:
				v.set.Put(c.name, c.data)
			case errors.Is(c.err, client.ErrNoNode): // the event of the list follows
				v.set.Delete(c.name)
			default:
				v.alone = v.alone || errors.Is(c.err, errAlone)
				if err == nil && c.err != errAlone { //nolint:errorlint // else there is more to it
					err = fmt.Errorf("reading %s: %w", c.name, c.err)
				}
				continue
			}
			delete(v.unread, c.name)
		}
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
	}
	v.alone = false
	return nil
}

// child is the result of reading one child.
type child struct {
	name string
	data []byte
	err  error
}

func byName(a, b child) int { return cmp.Compare(a.name, b.name) }

// readSome reads children until ctx ends, a read fails, or their data have
// [maxRead] bytes: whoever writes a thousand large nodes must not fill the memory of
// those who read them.
func (v *view) readSome(ctx context.Context, conn *client.Conn, names []string) []child {
	var (
		mu      sync.Mutex
		all     []child
		size    int
		failed  bool
		workers sync.WaitGroup
	)
	alone := v.alone || v.leaf != "" || len(names) == 1 || v.s.memory.oneByOne.Load()
	next := func() (some []string) {
		mu.Lock()
		defer mu.Unlock()
		if failed || size >= maxRead || len(names) == 0 || ctx.Err() != nil {
			return nil
		}
		n := 1
		if !alone {
			n = fitting(v.path, names)
		}
		some, names = names[:n], names[n:]
		return some
	}
	read, most := v.readMany, maxReads/maxMany
	if alone {
		read, most = func(_ context.Context, conn *client.Conn, some []string) []child {
			defer v.settingWatches(some)()
			data, err := v.readChild(conn, v.path+"/"+some[0])
			return []child{{some[0], data, err}}
		}, maxReads
	}
	for range min(most, len(names)) {
		workers.Go(func() {
			for some := next(); some != nil; some = next() {
				got := read(ctx, conn, some)
				mu.Lock()
				all = append(all, got...)
				for _, c := range got {
					size += len(c.data)
					failed = failed || c.err != nil && !errors.Is(c.err, client.ErrNoNode)
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	return all
}

// readChild reads the data of a child and sets a watch on it. If the format says so, these
// are the data of another node below the child, none unless its leaf exists, and the watch
// is on the leaf, with which the data change.
func (v *view) readChild(conn *client.Conn, child string) ([]byte, error) {
	if v.leaf == "" {
		data, _, _, err := conn.GetW(child)
		return data, err
	}
	alive, _, _, err := conn.ExistsW(child + v.leaf)
	if err != nil {
		return nil, err
	}
	if alive {
		data, _, err := conn.Get(child + "/" + v.format.Child)
		return data, err
	}
	exists, _, err := conn.Exists(child)
	if err == nil && !exists {
		err = client.ErrNoNode
	}
	return nil, err
}
