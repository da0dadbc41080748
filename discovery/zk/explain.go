package zk

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"

	client "github.com/go-zookeeper/zk"

	"github.com/minicaptain/multi_connection_pool/discovery/internal/survey"
)

// maxInner is how many children are looked into.
const maxInner = 4

// place is what a node has.
type place struct {
	entries []survey.Entry // the first children
	inner   []string       // those of them that have children
	total   int            // children
}

// explain returns what is at, below and above a path without a server, nil if there is
// nothing. What the user may not read is not there.
func (v *view) explain(ctx context.Context) error {
	if v.set.Len() == 0 {
		above, at := path.Dir(v.path), path.Dir(v.at)
		if at == "/" || at == "." {
			return nil
		}
		if p := v.look(ctx, above); survey.Servers(v.format, at, p.entries) > 0 {
			return fmt.Errorf("zk: nothing is below %s; one level up, below %s: %s", v.path, above, survey.Describe(v.format, at, p.total, p.entries))
		}
		return nil
	}
	here := v.look(ctx, v.path)
	if len(here.entries) == 0 || survey.Servers(v.format, v.at, here.entries) > 0 { // they are not admitted
		return nil
	}
	what := survey.Describe(v.format, v.at, here.total, here.entries)
	for _, name := range here.inner {
		at := v.at + "/" + name
		if p := v.look(ctx, v.path+"/"+name); survey.Servers(v.format, at, p.entries) > 0 {
			return fmt.Errorf("zk: below %s: %s; one level down, below %s: %s", v.path, what, name, survey.Describe(v.format, at, p.total, p.entries))
		}
	}
	return fmt.Errorf("zk: below %s: %s", v.path, what)
}

// look reads the first children of a node, without a watch.
func (v *view) look(ctx context.Context, node string) place {
	p, err := call(ctx, v.handle, func(c *client.Conn) (p place, err error) {
		names, _, err := c.Children(node)
		if err != nil {
			return p, err
		}
		p.total = len(names)
		slices.Sort(names)
		for _, name := range names[:min(len(names), survey.Sample)] {
			data, stat, err := c.Get(node + "/" + name)
			if err == nil && v.format.Child != "" {
				data, _, err = c.Get(node + "/" + name + "/" + v.format.Child)
				if errors.Is(err, client.ErrNoNode) { // it is no such entry
					data, err = nil, nil
				}
			}
			if err != nil || ctx.Err() != nil {
				continue
			}
			p.entries = append(p.entries, survey.Entry{Key: name, Value: data})
			if stat.NumChildren > 0 && len(p.inner) < maxInner {
				p.inner = append(p.inner, name)
			}
		}
		return p, nil
	})
	if err != nil {
		return place{}
	}
	return p
}
