package zk_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	client "github.com/go-zookeeper/zk"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/discovery/zk"
)

func TestWatcherOfNamesConforms(t *testing.T) { runWatcher(t, format.Name()) }

func TestWatcherOfDataConforms(t *testing.T) { runWatcher(t, format.Naming()) }

func runWatcher(t *testing.T, f format.Format) {
	t.Helper()
	list := servers(t)
	conn := admin(t, list)
	discoverytest.Run(t, discoverytest.Harness{
		NewPlace: func(context.Context) (discoverytest.Place, error) { return newPlace(t, list, conn, f) },
	})
}

func TestRegistrarConforms(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	discoverytest.RunRegistrar(t, discoverytest.RegistrarHarness{
		NewPlace: func(context.Context) (discoverytest.RegistrarPlace, error) {
			p, err := newPlace(t, list, conn, format.Naming())
			return registrarPlace{p}, err
		},
		TTL: sessionTimeout,
	})
}

// sessionTimeout is that of the suites' watchers and registrars.
const sessionTimeout = 3 * time.Second

// place is a path of its own, watched through a proxy of its own.
type place struct {
	t      *testing.T
	list   []string
	conn   *client.Conn
	proxy  *discoverytest.Proxy
	path   string
	format format.Format
	held   map[string]string
	made   bool
}

var (
	_ discoverytest.Proxied      = (*place)(nil)
	_ discoverytest.Expirer      = (*place)(nil)
	_ discoverytest.Remover      = (*place)(nil)
	_ discoverytest.Revoker      = (*place)(nil)
	_ discoverytest.Spoiler      = (*place)(nil)
	_ discoverytest.Neighbour    = (*place)(nil)
	_ discoverytest.Counter      = (*place)(nil)
	_ discoverytest.WatchCounter = (*place)(nil)
	_ discoverytest.Deleter      = registrarPlace{}
	_ discoverytest.Leaver       = registrarPlace{}
)

func newPlace(t *testing.T, list []string, conn *client.Conn, f format.Format) (*place, error) {
	t.Helper()
	proxy, err := discoverytest.NewProxy(list[0])
	if err != nil {
		return nil, err
	}
	// For what is revoked from all others.
	if err := conn.AddAuth("digest", []byte("admin:admin")); err != nil {
		return nil, err
	}
	return &place{t: t, list: list, conn: conn, proxy: proxy, format: f, held: make(map[string]string), path: newPath()}, nil
}

func (p *place) options() []zk.Option {
	return []zk.Option{zk.Format(p.format), zk.SessionTimeout(sessionTimeout)}
}

func (p *place) Watcher() (core.Watcher, error) {
	return zk.Watcher([]string{p.proxy.Addr()}, p.path, p.options()...), nil
}

func (p *place) Put(_ context.Context, eps []core.Endpoint) error {
	now := make(map[string]string, len(eps))
	for _, e := range eps {
		name, data, err := p.format.Encode(p.path, e)
		if err != nil {
			return err
		}
		now[name] = string(data)
	}
	if !p.made {
		if _, err := p.conn.Create(p.path, nil, 0, open()); err != nil {
			return err
		}
		p.made = true
	}
	// What is added comes first, so that nothing is missing on the way.
	var ops []any
	for name, data := range now {
		switch old, there := p.held[name]; {
		case !there:
			ops = append(ops, &client.CreateRequest{Path: p.path + "/" + name, Data: []byte(data), Acl: open()})
		case old != data:
			ops = append(ops, &client.SetDataRequest{Path: p.path + "/" + name, Data: []byte(data), Version: -1})
		}
	}
	for name := range p.held {
		if _, stays := now[name]; !stays {
			ops = append(ops, &client.DeleteRequest{Path: p.path + "/" + name, Version: -1})
		}
	}
	// Few changes one by one, as servers come and go; many at once.
	for some := range slices.Chunk(ops, max(1, len(ops)/20)) {
		if _, err := p.conn.Multi(some...); err != nil {
			return err
		}
	}
	p.held = now
	_, err := p.conn.Sync(p.path)
	return err
}

func (p *place) Proxies() []*discoverytest.Proxy { return []*discoverytest.Proxy{p.proxy} }

func (p *place) Expire(context.Context) error {
	all := zk.Sessions(p.proxy.Addr())
	if len(all) == 0 {
		return errors.New("there is no session")
	}
	for _, s := range all {
		if err := s.Expire(p.list[0], false); err != nil {
			return err
		}
	}
	return nil
}

func (p *place) Remove(context.Context) error {
	p.made, p.held = false, make(map[string]string)
	return removeTree(p.conn, p.path)
}

func (p *place) Revoke(context.Context) (func() error, error) {
	set := func(acl []client.ACL) error {
		_, err := p.conn.SetACL(p.path, acl, -1)
		return err
	}
	return func() error { return set(open()) }, set(digest("admin", "admin"))
}

func (p *place) Spoil(context.Context) error {
	for name, data := range map[string]string{
		"spoil-1": "", "spoil-2": "garbage", "10.0.0.1": "{", "a:b:c": `{"Op":0,"Addr":"10.0.0`, "vector_0000": `{"weight":1}`, "%zz": "\x00\xff",
	} {
		if _, err := p.conn.Create(p.path+"/"+name, []byte(data), 0, open()); err != nil {
			return err
		}
	}
	return nil
}

func (p *place) PutBeside(ctx context.Context, eps []core.Endpoint) error {
	beside := &place{conn: p.conn, path: p.path + "-2", format: p.format, held: make(map[string]string)}
	if err := removeTree(p.conn, beside.path); err != nil {
		return err
	}
	return beside.Put(ctx, eps)
}

// Requests counts pings too, of which there is one in a second.
func (p *place) Requests() int {
	n := 0
	for _, s := range zk.Sessions(p.proxy.Addr()) {
		n += requests(p.t, p.list[0], s)
	}
	return n
}

// Watches counts those of data, as the server tells them, and all that the
// client has: no command of the server tells of watches of children.
func (p *place) Watches(context.Context) (int, error) {
	n := strings.Count(tell(p.t, p.list[0], "wchc"), p.path)
	for _, s := range zk.Sessions(p.proxy.Addr()) {
		n += s.Watches(p.path)
	}
	return n, nil
}

func (p *place) Close() error {
	return errors.Join(p.proxy.Close(), removeTree(p.conn, p.path), removeTree(p.conn, p.path+"-2"))
}

// registrarPlace is a place where registrars register.
type registrarPlace struct{ *place }

func (p registrarPlace) Registrar() (discovery.Registrar, error) {
	return zk.Registrar([]string{p.proxy.Addr()}, p.path, p.options()...), nil
}

func (p registrarPlace) Entries(context.Context) ([]core.Endpoint, error) {
	if _, err := p.conn.Sync(p.path); err != nil {
		return nil, err
	}
	names, _, err := p.conn.Children(p.path)
	if errors.Is(err, client.ErrNoNode) {
		return nil, nil
	}
	var all []core.Endpoint
	for _, name := range names {
		data, _, gerr := p.conn.Get(p.path + "/" + name)
		if errors.Is(gerr, client.ErrNoNode) {
			continue
		}
		eps, derr := p.format.Decode(name, data)
		err = errors.Join(err, gerr, derr)
		all = append(all, eps...)
	}
	return all, err
}

func (p registrarPlace) Delete(_ context.Context, addr string) error {
	name, _, err := p.format.Encode(p.path, core.Endpoint{Addr: addr})
	if err != nil {
		return err
	}
	return p.conn.Delete(p.path+"/"+name, -1)
}

func (p registrarPlace) Leave(_ context.Context, e core.Endpoint) (func() error, error) {
	name, data, err := p.format.Encode(p.path, e)
	if err != nil {
		return nil, err
	}
	if _, err := p.conn.Create(p.path, nil, 0, open()); err != nil && !errors.Is(err, client.ErrNodeExists) {
		return nil, err
	}
	dead, events, err := client.Connect(p.list, sessionTimeout, client.WithLogger(quiet{}))
	if err != nil {
		return nil, err
	}
	die := func() error {
		dead.Close()
		for range events { // until it has ended
		}
		return nil
	}
	if _, err := dead.Create(p.path+"/"+name, data, client.FlagEphemeral, open()); err != nil {
		return nil, errors.Join(fmt.Errorf("leaving an entry: %w", err), die())
	}
	return die, nil
}
