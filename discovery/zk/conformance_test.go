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

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/discovery/zk"
)

func TestWatcherOfNamesConforms(t *testing.T) { runWatcher(t, format.PlainKey()) }

func TestWatcherOfDataConforms(t *testing.T) { runWatcher(t, format.GRPCNaming()) }

// TestWatcherOfGrandchildrenConforms has entries as those of ClickHouse are, with values
// that hold all that the suite asks for.
func TestWatcherOfGrandchildrenConforms(t *testing.T) {
	f, decode := format.ClickHouse(), format.GRPCNaming().Decode
	f.Encode = format.GRPCNaming().Encode
	f.Decode = func(key string, value []byte) ([]discovery.Endpoint, error) {
		if value == nil {
			return nil, nil
		}
		return decode(key, value)
	}
	runWatcher(t, f)
}

func runWatcher(t *testing.T, f format.Format) {
	t.Helper()
	list := servers(t)
	conn := admin(t, list)
	discoverytest.Run(t, func(t *testing.T) discoverytest.Fixture {
		s := newService(t, list, conn, f)
		fixture := discoverytest.Fixture{
			Watcher:        s.watcher,
			Put:            s.put,
			Close:          s.close,
			Proxies:        []*discoverytest.Proxy{s.proxy},
			ExpireSessions: s.expireSessions,
			Remove:         s.remove,
			RevokeAccess:   s.revokeAccess,
			PutMalformed:   s.putMalformed,
			PutSibling:     s.putSibling,
			CountWatches:   s.countWatches,
		}
		if f.Alive == "" {
			fixture.CountRequests = s.countRequests
		} else { // each child costs more requests, and is three nodes to make and to remove
			fixture.Scale = 2000
		}
		return fixture
	})
}

func TestRegistrarConforms(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	discoverytest.RunRegistrar(t, func(t *testing.T) discoverytest.Fixture {
		s := newService(t, list, conn, format.GRPCNaming())
		return discoverytest.Fixture{
			Registrar:      s.registrar,
			Entries:        s.entries,
			Close:          s.close,
			Proxies:        []*discoverytest.Proxy{s.proxy},
			ExpireSessions: s.expireSessions,
			DeleteEntry:    s.deleteEntry,
			PutOrphan:      s.putOrphan,
			Rival:          s.rival,
			LostWithin:     sessionTimeout,
			TTL:            sessionTimeout,
		}
	})
}

// sessionTimeout is the session timeout of the suites' watchers and registrars.
const sessionTimeout = 3 * time.Second

// service is a path that nothing else uses, behind a proxy of its own.
type service struct {
	t      *testing.T
	list   []string
	conn   *client.Conn
	proxy  *discoverytest.Proxy
	path   string
	format format.Format
	held   map[string]string
	made   bool
}

func newService(t *testing.T, list []string, conn *client.Conn, f format.Format) *service {
	t.Helper()
	// After revokeAccess, only admin has access.
	if err := conn.AddAuth("digest", []byte("admin:admin")); err != nil {
		t.Fatal(err)
	}
	proxy, err := discoverytest.NewProxy(list[0])
	if err != nil {
		t.Fatal(err)
	}
	return &service{t: t, list: list, conn: conn, proxy: proxy, format: f, held: make(map[string]string), path: newPath()}
}

func (s *service) options() []zk.Option {
	return []zk.Option{zk.WithFormat(s.format), zk.SessionTimeout(sessionTimeout)}
}

func (s *service) watcher() (discovery.Watcher, error) {
	return zk.Watcher([]string{s.proxy.Addr()}, s.path, s.options()...), nil
}

func (s *service) put(_ context.Context, eps []discovery.Endpoint) error {
	now := make(map[string]string, len(eps))
	for _, e := range eps {
		name, data, err := s.format.Encode(s.path, e)
		if err != nil {
			return err
		}
		now[name] = string(data)
	}
	if !s.made {
		if _, err := s.conn.Create(s.path, nil, 0, open()); err != nil {
			return err
		}
		s.made = true
	}
	// Additions come first, so that no endpoint is missing meanwhile.
	var changes [][]any
	for name, data := range now {
		switch old, there := s.held[name]; {
		case !there:
			changes = append(changes, s.creation(name, data))
		case old != data:
			changes = append(changes, s.update(name, data))
		}
	}
	for name := range s.held {
		if _, stays := now[name]; !stays {
			changes = append(changes, s.deletion(name))
		}
	}
	// A few changes go one by one, many in some transactions.
	for some := range slices.Chunk(changes, max(1, len(changes)/20)) {
		if _, err := s.conn.Multi(slices.Concat(some...)...); err != nil {
			return err
		}
	}
	s.held = now
	_, err := s.conn.Sync(s.path)
	return err
}

// creation, update and deletion are the requests of one entry.
func (s *service) creation(name, data string) []any {
	node := func(path, data string) any {
		return &client.CreateRequest{Path: s.path + "/" + name + path, Data: []byte(data), Acl: open()}
	}
	if s.format.Alive == "" {
		return []any{node("", data)}
	}
	return []any{node("", ""), node("/"+s.format.Child, data), node("/"+s.format.Alive, "")}
}

func (s *service) update(name, data string) []any {
	node := s.path + "/" + name
	if s.format.Alive == "" {
		return []any{&client.SetDataRequest{Path: node, Data: []byte(data), Version: -1}}
	}
	return []any{
		&client.DeleteRequest{Path: node + "/" + s.format.Alive, Version: -1},
		&client.SetDataRequest{Path: node + "/" + s.format.Child, Data: []byte(data), Version: -1},
		&client.CreateRequest{Path: node + "/" + s.format.Alive, Acl: open()},
	}
}

func (s *service) deletion(name string) (ops []any) {
	node := s.path + "/" + name
	if s.format.Alive != "" {
		ops = append(ops, &client.DeleteRequest{Path: node + "/" + s.format.Alive, Version: -1},
			&client.DeleteRequest{Path: node + "/" + s.format.Child, Version: -1})
	}
	return append(ops, &client.DeleteRequest{Path: node, Version: -1})
}

func (s *service) expireSessions(context.Context) error {
	all := zk.Sessions(s.proxy.Addr())
	if len(all) == 0 {
		return errors.New("there is no session")
	}
	for _, session := range all {
		if err := session.Expire(s.list[0], false); err != nil {
			return err
		}
	}
	return nil
}

func (s *service) remove(context.Context) error {
	s.made, s.held = false, make(map[string]string)
	return removeTree(s.conn, s.path)
}

func (s *service) revokeAccess(context.Context) (func() error, error) {
	set := func(acl []client.ACL) error {
		_, err := s.conn.SetACL(s.path, acl, -1)
		return err
	}
	return func() error { return set(open()) }, set(digest("admin", "admin"))
}

func (s *service) putMalformed(context.Context) error {
	for name, data := range map[string]string{
		"malformed-1": "", "malformed-2": "garbage", "10.0.0.1": "{", "a:b:c": `{"Op":0,"Addr":"10.0.0`, "vector_0000": `{"weight":1}`, "%zz": "\x00\xff",
	} {
		if _, err := s.conn.Multi(s.creation(name, data)...); err != nil {
			return err
		}
	}
	return nil
}

func (s *service) putSibling(ctx context.Context, eps []discovery.Endpoint) error {
	sibling := &service{conn: s.conn, path: s.path + "-2", format: s.format, held: make(map[string]string)}
	if err := removeTree(s.conn, sibling.path); err != nil {
		return err
	}
	return sibling.put(ctx, eps)
}

// countRequests counts pings too. A session sends one each second.
func (s *service) countRequests(context.Context) (int, error) {
	n := 0
	for _, session := range zk.Sessions(s.proxy.Addr()) {
		n += requests(s.t, s.list[0], session)
	}
	return n, nil
}

// countWatches counts the server's watches of data, and all watches of the
// client: no command of the server lists watches of children.
func (s *service) countWatches(context.Context) (int, error) {
	n := strings.Count(tell(s.t, s.list[0], "wchc"), s.path)
	for _, session := range zk.Sessions(s.proxy.Addr()) {
		n += session.Watches(s.path)
	}
	return n, nil
}

func (s *service) close() error {
	return errors.Join(s.proxy.Close(), removeTree(s.conn, s.path), removeTree(s.conn, s.path+"-2"))
}

func (s *service) registrar() (discovery.Registrar, error) {
	return zk.Registrar([]string{s.proxy.Addr()}, s.path, s.options()...), nil
}

// rival returns a registrar that has a session of its own, since its session
// timeout is another one, and does not use the proxy.
func (s *service) rival() (discovery.Registrar, error) {
	return zk.Registrar(s.list[:1], s.path, zk.WithFormat(s.format), zk.SessionTimeout(sessionTimeout+time.Second)), nil
}

func (s *service) entries(context.Context) ([]discovery.Endpoint, error) {
	if _, err := s.conn.Sync(s.path); err != nil {
		return nil, err
	}
	names, _, err := s.conn.Children(s.path)
	if errors.Is(err, client.ErrNoNode) {
		return nil, nil
	}
	var all []discovery.Endpoint
	for _, name := range names {
		data, _, gerr := s.conn.Get(s.path + "/" + name)
		if errors.Is(gerr, client.ErrNoNode) {
			continue
		}
		eps, derr := s.format.Decode(name, data)
		err = errors.Join(err, gerr, derr)
		all = append(all, eps...)
	}
	return all, err
}

func (s *service) deleteEntry(_ context.Context, addr string) error {
	name, _, err := s.format.Encode(s.path, discovery.Endpoint{Addr: addr})
	if err != nil {
		return err
	}
	return s.conn.Delete(s.path+"/"+name, -1)
}

func (s *service) putOrphan(_ context.Context, e discovery.Endpoint) (func() error, error) {
	name, data, err := s.format.Encode(s.path, e)
	if err != nil {
		return nil, err
	}
	if _, err := s.conn.Create(s.path, nil, 0, open()); err != nil && !errors.Is(err, client.ErrNodeExists) {
		return nil, err
	}
	crashed, events, err := client.Connect(s.list, sessionTimeout, client.WithLogger(quiet{}))
	if err != nil {
		return nil, err
	}
	expire := func() error {
		crashed.Close()
		for range events { // until the session has ended
		}
		return nil
	}
	if _, err := crashed.Create(s.path+"/"+name, data, client.FlagEphemeral, open()); err != nil {
		return nil, errors.Join(fmt.Errorf("creating an orphan: %w", err), expire())
	}
	return expire, nil
}
