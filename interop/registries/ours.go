package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/consul"
	"github.com/minicaptain/multi_connection_pool/discovery/etcd"
	"github.com/minicaptain/multi_connection_pool/discovery/zk"
	"github.com/minicaptain/multi_connection_pool/interop/peer"
)

// newMux returns the registries that this program knows.
func newMux() *discovery.Mux {
	var mux discovery.Mux
	mux.Handle("consul", consul.Opener)
	mux.Handle("etcd", etcd.Opener)
	mux.Handle("zk", zk.Opener)
	return &mux
}

// registerOurs registers a server until standard input ends, as peer.Main does.
func registerOurs(url, addr, weight, zone string) error {
	r, err := newMux().OpenRegistrar(url)
	if err != nil {
		return err
	}
	w, err := strconv.ParseFloat(weight, 64)
	if err != nil {
		return err
	}
	g, err := discovery.Register(r, discovery.Endpoint{Addr: addr, Weight: w, Zone: zone})
	if err != nil {
		return err
	}
	patience := func() (context.Context, context.CancelFunc) {
		return context.WithTimeout(context.Background(), 20*time.Second)
	}
	ctx, cancel := patience()
	defer cancel()
	if err := g.Wait(ctx); err != nil {
		return err
	}
	fmt.Println("registered") //nolint:forbidigo // the harness reads it
	_, _ = io.Copy(io.Discard, os.Stdin)
	ctx, cancel = patience()
	defer cancel()
	return g.Close(ctx)
}

// view is the set of servers as one side sees it. It is safe for concurrent use.
type view struct {
	mu      sync.Mutex
	servers []peer.Server
	changed chan struct{} // closed by each change
	lost    map[string]bool
	ended   string // why the set is not followed any more
}

func newView() *view { return &view{changed: make(chan struct{}), lost: map[string]bool{}} }

// set replaces the set.
func (v *view) set(servers []peer.Server) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.servers {
		if !slices.ContainsFunc(servers, func(o peer.Server) bool { return o.Addr == s.Addr }) {
			v.lost[s.Addr] = true
		}
	}
	v.servers = servers
	close(v.changed)
	v.changed = make(chan struct{})
}

// end says that the set is not followed any more.
func (v *view) end(why string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ended = why
}

// why returns why the set is not followed any more, or "".
func (v *view) why() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.ended
}

// find returns the server with an address.
func (v *view) find(addr string) (peer.Server, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.servers {
		if s.Addr == addr {
			return s, true
		}
	}
	return peer.Server{}, false
}

// await returns how long it took until the address is in the set, or is not.
func (v *view) await(ctx context.Context, addr string, there bool, most time.Duration) (time.Duration, bool) {
	return v.until(ctx, most, func(set []peer.Server) bool {
		return there == slices.ContainsFunc(set, func(s peer.Server) bool { return s.Addr == addr })
	})
}

// until returns how long it took until the set is as wanted.
func (v *view) until(ctx context.Context, most time.Duration, wanted func([]peer.Server) bool) (time.Duration, bool) {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for {
		v.mu.Lock()
		changed, ok := v.changed, wanted(v.servers)
		v.mu.Unlock()
		if ok {
			return time.Since(begun), true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return time.Since(begun), false
		}
	}
}

// lostOnce reports whether an address has ever left the set, and forgets it.
func (v *view) lostOnce(addr string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	was := v.lost[addr]
	delete(v.lost, addr)
	return was
}

// watchOurs follows a URL with our watcher.
func watchOurs(ctx context.Context, url string, v *view) error {
	w, err := newMux().Open(url)
	if err != nil {
		return err
	}
	go discovery.Follow(ctx, w, discovery.Follower{Changed: func(c discovery.Change) { // ends with ctx
		servers := make([]peer.Server, len(c.Set))
		for i, e := range c.Set {
			servers[i] = peer.Server{Addr: e.Addr, Weight: e.Weight, Zone: e.Zone}
		}
		v.set(servers)
	}})
	return nil
}
