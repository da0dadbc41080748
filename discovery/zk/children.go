package zk

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	client "github.com/go-zookeeper/zk"
)

// readers is how many children are read at a time.
const readers = 128

// place identifies a list of children: by the changes that made the node and
// its last child. It is zero for a node that does not exist.
type place struct{ made, changed int64 }

// list returns the names of the children, none if path does not exist, and
// leaves a watch that fires when that changes.
func (v *view) list(ctx context.Context) (at place, names []string, err error) {
	type list struct {
		at    place
		names []string
	}
	l, err := do(ctx, v.user, func(c *client.Conn) (list, error) {
		defer v.arm("")()
		for {
			names, stat, _, err := c.ChildrenW(v.path)
			if !errors.Is(err, client.ErrNoNode) {
				return list{placeOf(err == nil, stat), names}, err
			}
			if there, _, _, err := c.ExistsW(v.path); !there || err != nil {
				return list{}, err
			}
		}
	})
	return l.at, l.names, err
}

func placeOf(there bool, stat *client.Stat) place {
	if !there {
		return place{}
	}
	return place{stat.Czxid, stat.Pzxid}
}

// read reads the data of the children that are to be read, and leaves a watch
// at each. What it has read when it fails need not be read again.
func (v *view) read(ctx context.Context) error {
	if len(v.unread) == 0 {
		return nil
	}
	children, err := do(ctx, v.user, func(c *client.Conn) ([]child, error) {
		return v.readAll(ctx, c, slices.Collect(maps.Keys(v.unread))), nil
	})
	for _, c := range children {
		switch {
		case c.err == nil:
			v.set.Put(c.name, c.data)
		case errors.Is(c.err, client.ErrNoNode): // the next list is on its way
			v.set.Delete(c.name)
		default:
			if err == nil {
				err = fmt.Errorf("reading %s: %w", c.name, c.err)
			}
			continue
		}
		delete(v.unread, c.name)
	}
	return err
}

// child is what was read of one.
type child struct {
	name string
	data []byte
	err  error
}

// readAll reads children until ctx ends or a connection fails.
func (v *view) readAll(ctx context.Context, conn *client.Conn, names []string) []child {
	var (
		mu      sync.Mutex
		all     []child
		failed  bool
		workers sync.WaitGroup
	)
	next := func() (name string, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if failed || len(names) == 0 || ctx.Err() != nil {
			return "", false
		}
		name, names = names[0], names[1:]
		return name, true
	}
	for range min(readers, len(names)) {
		workers.Go(func() {
			for name, ok := next(); ok; name, ok = next() {
				returned := v.arm(name)
				data, _, _, err := conn.GetW(v.path + "/" + name)
				returned()
				mu.Lock()
				all = append(all, child{name, data, err})
				failed = failed || err != nil && !errors.Is(err, client.ErrNoNode)
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	return all
}
