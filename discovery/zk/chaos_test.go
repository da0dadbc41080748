package zk_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	client "github.com/go-zookeeper/zk"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/discovery/zk"
)

// again calls Watch again when it returns, like a pool.
type again struct{ discovery.Watcher }

func (a again) Watch(ctx context.Context, report func([]discovery.Endpoint)) error {
	for ctx.Err() == nil {
		_ = a.Watcher.Watch(ctx, report)
	}
	return ctx.Err()
}

// Servers come and go, change their data, die with their session and are
// replaced, while links break, hang and come back. Each time all of that has
// ended, every watcher has the ensemble's set.
func TestWatchersKnowTheEnsembleAfterAnyHistory(t *testing.T) {
	const (
		rounds, steps = 8, 15
		names         = 12
	)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	list := servers(t)
	conn := admin(t, list)
	path := newRoot(t, conn)
	proxy, addrs := proxies(t, list...)
	opts := []zk.Option{zk.SessionTimeout(2 * time.Second), zk.WithFormat(format.PlainValue())}
	var all []*watch
	for range 2 {
		all = append(all, begin(t, again{zk.Watcher(addrs, path, opts...)}))
	}
	byName := begin(t, again{zk.Watcher(addrs, path, opts[0], zk.WithFormat(named()))})
	g, err := discovery.Register(zk.Registrar(addrs, path, opts...), self)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close(context.Background())
	registered(t, g)

	held := map[string]string{self.Addr: self.Addr}
	change := func() {
		name, data := fmt.Sprintf("10.0.0.%d:1", 1+rnd.IntN(names)), fmt.Sprintf("10.0.%d.1:%d", 1+rnd.IntN(50), 1+rnd.IntN(60_000))
		var err error
		_, there := held[name]
		switch n := rnd.IntN(4); {
		case !there:
			_, err = conn.Create(path+"/"+name, []byte(data), 0, open())
		case n == 0:
			err, data = conn.Delete(path+"/"+name, -1), ""
		case n == 1:
			_, err = conn.Multi(
				&client.DeleteRequest{Path: path + "/" + name, Version: -1},
				&client.CreateRequest{Path: path + "/" + name, Data: []byte(data), Acl: open()})
		default:
			_, err = conn.Set(path+"/"+name, []byte(data), -1)
		}
		if err != nil {
			t.Fatal(err)
		}
		if held[name] = data; data == "" {
			delete(held, name)
		}
	}
	fault := func() error {
		p := proxy[rnd.IntN(len(proxy))]
		switch rnd.IntN(8) {
		case 0:
			p.Cut()
		case 1:
			return p.Hang()
		case 2:
			p.CutAfter(rnd.Int64N(2000))
		case 3:
			for _, s := range zk.Sessions(addrs[0]) {
				_ = s.Expire(list[0], false) // it may be down, or gone, at this moment
			}
		case 4:
			return p.Heal()
		default:
			p.Break()
		}
		return nil
	}
	for range rounds {
		for range steps {
			change()
			if rnd.IntN(2) == 0 {
				if err := fault(); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Duration(rnd.IntN(50)) * time.Millisecond)
		}
		var err error
		for _, p := range proxy {
			err = errors.Join(err, p.Heal())
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range append(all, byName) {
			want := slices.Sorted(maps.Values(held))
			if w == byName {
				want = slices.Sorted(maps.Keys(held))
			}
			w.await(want...)
		}
	}
}

// named returns PlainKey, but reads data, too.
func named() format.Format {
	f := format.PlainKey()
	f.NamesOnly = false
	return f
}
