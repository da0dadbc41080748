package etcd_test

import (
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/etcd"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/plugintest"
)

// TestWipedServerIsSeen has a watch at a revision that the wiped server is far
// from, under the same cluster id: a watch resumed there would be silent.
func TestWipedServerIsSeen(t *testing.T) {
	c := startCluster(t, 1)
	db := raw(t, c.addrs())
	for range 50 {
		put(t, db, "/x/a", entry("10.0.0.1:80"))
	}
	f := discoverytest.Follow(t, etcd.Watcher(c.addrs(), "/x/"))
	f.Await("10.0.0.1:80")
	m := c.members[0]
	m.kill()
	c.wipe(m)
	c.start(m)
	c.ready()
	put(t, db, "/x/b", entry("10.0.0.2:80"))
	f.Await("10.0.0.2:80")
	put(t, db, "/x/c", entry("10.0.0.3:80"))
	f.Await("10.0.0.2:80", "10.0.0.3:80")
}

func TestLostQuorumIsAnErrorAndItsReturnIsSeen(t *testing.T) {
	c := startCluster(t, 3)
	db := raw(t, c.addrs())
	put(t, db, "/x/a", entry("10.0.0.1:80"))
	w := etcd.Watcher(c.addrs()[:1], "/x/", etcd.Timeout(time.Second))
	f := discoverytest.Follow(t, w)
	f.Await("10.0.0.1:80")
	c.members[1].kill()
	c.members[2].kill()
	err := f.Fails()
	if !strings.Contains(err.Error(), "no answer") && !strings.Contains(err.Error(), "no leader") {
		t.Errorf("the error does not name the failure: %v", err)
	}
	if n := f.Count(); n != 1 {
		t.Errorf("%d reports, want none after the first", n)
	}
	f = discoverytest.Follow(t, w)
	c.start(c.members[1])
	c.start(c.members[2])
	f.Await("10.0.0.1:80")
}

// auth switches access control on, with four users whose password is secret: root
// may do everything, reader may read /x/, writer may read and write it, and
// nobody may do nothing.
func auth(t *testing.T, c *cluster) (root *clientv3.Client) {
	t.Helper()
	db := raw(t, c.addrs())
	ctx := t.Context()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	end := clientv3.GetPrefixRangeEnd("/x/")
	for role, kind := range map[string]clientv3.PermissionType{
		"reader": clientv3.PermissionType(clientv3.PermRead),
		"writer": clientv3.PermissionType(clientv3.PermReadWrite),
	} {
		must(db.RoleAdd(ctx, role))
		must(db.RoleGrantPermission(ctx, role, "/x/", end, kind))
	}
	for _, user := range []string{"root", "reader", "writer", "nobody"} {
		must(db.UserAdd(ctx, user, "secret"))
		if user != "nobody" {
			if user == "root" {
				must(db.RoleAdd(ctx, "root"))
			}
			must(db.UserGrantRole(ctx, user, user))
		}
	}
	must(db.AuthEnable(ctx))
	return asRoot(t, c)
}

// asRoot returns a client with a new token of root's.
func asRoot(t *testing.T, c *cluster) *clientv3.Client {
	t.Helper()
	root, err := clientv3.New(clientv3.Config{
		Endpoints: c.addrs(), Username: "root", Password: "secret", Logger: zap.NewNop(), DialTimeout: timeout,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return root
}

func TestMissingPermissionToReadIsReportedAtOnce(t *testing.T) {
	c := startCluster(t, 1)
	auth(t, c)
	for what, opts := range map[string][]etcd.Option{
		"etcdserver: authentication failed": {etcd.WithCredentials(discovery.NewSecret("reader:wrong"))},
		"etcdserver: permission denied":     {etcd.WithCredentials(discovery.NewSecret("nobody:secret"))},
		"etcdserver: user name is empty":    nil,
	} {
		start := time.Now()
		f := discoverytest.Follow(t, etcd.Watcher(c.addrs(), "/x/", opts...))
		err := f.Fails()
		if !strings.Contains(err.Error(), what) {
			t.Errorf("error %q, want %q", err, what)
		}
		if strings.Contains(err.Error(), "wrong") || strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows the password: %v", err)
		}
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("%s: reported after %v", what, d)
		}
		if f.Count() > 0 {
			t.Errorf("%s: something was reported", what)
		}
	}
}

// TestTokenThatExpiredIsRenewed has tokens that expire within two seconds.
func TestTokenThatExpiredIsRenewed(t *testing.T) {
	c := startCluster(t, 1, "--auth-token-ttl", "1")
	root := auth(t, c)
	p := plugintest.Proxy(t, c.addrs()[0])
	put(t, root, "/x/a", entry("10.0.0.1:80"))
	f := discoverytest.Follow(t, etcd.Watcher([]string{p.Addr()}, "/x/", etcd.WithCredentials(discovery.NewSecret("reader:secret"))))
	f.Await("10.0.0.1:80")
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); { // the tokens' ends are what is waited for
		put(t, root, "/x/a", entry("10.0.0.1:80"))
	}
	p.Break() // a new list needs a token
	put(t, root, "/x/b", entry("10.0.0.2:80"))
	f.Await("10.0.0.1:80", "10.0.0.2:80")
}

func TestRevokedPermissionIsAnErrorNotASmallerSet(t *testing.T) {
	c := startCluster(t, 1)
	root := auth(t, c)
	p := plugintest.Proxy(t, c.addrs()[0])
	put(t, root, "/x/a", entry("10.0.0.1:80"))
	f := discoverytest.Follow(t, etcd.Watcher([]string{p.Addr()}, "/x/", etcd.WithCredentials(discovery.NewSecret("reader:secret"))))
	f.Await("10.0.0.1:80")
	if _, err := root.RoleRevokePermission(t.Context(), "reader", "/x/", clientv3.GetPrefixRangeEnd("/x/")); err != nil {
		t.Fatal(err)
	}
	p.Break()
	if err := f.Fails(); !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("error %v", err)
	}
	if n := f.Count(); n != 1 {
		t.Errorf("%d reports, want none after the first", n)
	}
}
