package zk_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	client "github.com/go-zookeeper/zk"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/discovery/zk"
)

func TestPathThatDoesNotExistIsEmptyAndNothingIsWritten(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	root := newRoot(t, conn)
	w := begin(t, zk.Watcher(list, root+"/a/b"))
	w.await()
	if there, _, err := conn.Exists(root); there || err != nil {
		t.Errorf("the watcher made %s (%v)", root, err)
	}
	create(t, conn, root, "")
	create(t, conn, root+"/a", "")
	create(t, conn, root+"/a/b", "")
	create(t, conn, root+"/a/b/10.0.0.1:9090", "")
	w.await("10.0.0.1:9090")
}

func TestPathThatIsDeletedAndMadeAgainIsSeen(t *testing.T) {
	for _, f := range []format.Format{format.PlainKey(), format.PlainValue()} {
		t.Run(f.Name, func(t *testing.T) {
			list := servers(t)
			conn := admin(t, list)
			root := newRoot(t, conn)
			create(t, conn, root, "")
			create(t, conn, root+"/10.0.0.1:1", "10.0.0.1:1")
			w := begin(t, zk.Watcher(list, root, zk.WithFormat(f)))
			w.await("10.0.0.1:1")
			for range 3 {
				remove(t, conn, root+"/10.0.0.1:1")
				remove(t, conn, root)
				w.await()
				create(t, conn, root, "")
				create(t, conn, root+"/10.0.0.1:1", "10.0.0.1:1")
				w.await("10.0.0.1:1")
			}
		})
	}
}

// A child that is deleted and made again in one step is not missing from any
// list.
func TestChildThatIsMadeAgainWithOtherDataIsSeen(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	root := newRoot(t, conn)
	create(t, conn, root, "")
	create(t, conn, root+"/a", "10.0.0.1:1")
	create(t, conn, root+"/b", "10.0.0.2:1")
	w := begin(t, zk.Watcher(list, root, zk.WithFormat(format.PlainValue())))
	w.await("10.0.0.1:1", "10.0.0.2:1")
	for i := range 20 {
		now := fmt.Sprintf("10.0.1.%d:1", i+1)
		if _, err := conn.Multi(
			&client.DeleteRequest{Path: root + "/a", Version: -1},
			&client.CreateRequest{Path: root + "/a", Data: []byte(now), Acl: open()},
		); err != nil {
			t.Fatal(err)
		}
		w.await(now, "10.0.0.2:1")
	}
}

func TestMalformedEntryIsSkippedAndReported(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	root := newRoot(t, conn)
	create(t, conn, root, "")
	create(t, conn, root+"/10.0.0.1:1", "")
	create(t, conn, root+"/nonsense", "")
	skipped := make(chan string, 10)
	w := begin(t, zk.Watcher(list, root, zk.OnSkipped(func(entry string, err error) { skipped <- entry })))
	w.await("10.0.0.1:1")
	if entry := <-skipped; entry != "nonsense" {
		t.Errorf("the skipped entry is %q", entry)
	}
}

// digest is an access control list for a user, and for nobody else.
func digest(user, password string) []client.ACL {
	return client.DigestACL(client.PermAll, user, password)
}

// protected makes a place with three children, of which only the given ones
// are protected by a password; path itself can be listed by everybody.
func protected(t *testing.T, conn *client.Conn, names ...string) (path string) {
	t.Helper()
	if err := conn.AddAuth("digest", []byte("alice:secret")); err != nil {
		t.Fatal(err)
	}
	path = newRoot(t, conn)
	create(t, conn, path, "")
	for i, name := range []string{"a", "b", "c"} {
		acl := open()
		for _, n := range names {
			if n == name {
				acl = digest("alice", "secret")
			}
		}
		if _, err := conn.Create(path+"/"+name, fmt.Appendf(nil, "10.0.0.%d:1", i+1), 0, acl); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestMissingPermissionIsAnErrorAndNeverASmallerSet(t *testing.T) {
	list := servers(t)
	for name, names := range map[string][]string{"one child": {"b"}, "all children": {"a", "b", "c"}} {
		t.Run(name, func(t *testing.T) {
			conn := admin(t, list)
			path := protected(t, conn, names...)
			value := zk.WithFormat(format.PlainValue())
			for _, opts := range [][]zk.Option{
				{value},
				{value, zk.WithCredentials(discovery.NewSecret("alice:wrong"))},
				{value, zk.WithCredentials(discovery.NewSecret("bob:secret"))},
			} {
				w := begin(t, zk.Watcher(list, path, opts...))
				err := w.fails()
				if !errors.Is(err, client.ErrNoAuth) || !strings.Contains(err.Error(), path) {
					t.Errorf("Watch ended with %v", err)
				}
				if strings.Contains(err.Error(), "wrong") {
					t.Errorf("the error shows the password: %v", err)
				}
				if all := w.all(); len(all) > 0 {
					t.Errorf("reported were %v", all)
				}
			}
			w := begin(t, zk.Watcher(list, path, value, zk.WithCredentials(discovery.NewSecret("alice:secret"))))
			w.await("10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1")
		})
	}
}

func TestNewChildThatCannotBeReadIsAnErrorAndNeverASmallerSet(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	path := protected(t, conn)
	w := begin(t, zk.Watcher(list, path, zk.WithFormat(format.PlainValue())))
	w.await("10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1")
	if _, err := conn.Multi(
		&client.DeleteRequest{Path: path + "/a", Version: -1},
		&client.CreateRequest{Path: path + "/d", Data: []byte("10.0.0.4:1"), Acl: digest("alice", "secret")},
	); err != nil {
		t.Fatal(err)
	}
	if err := w.fails(); !errors.Is(err, client.ErrNoAuth) {
		t.Errorf("Watch ended with %v", err)
	}
	if all := w.all(); len(all) != 1 {
		t.Errorf("reported were %v", all)
	}
}

// A server drops the event, and the watch, if the client may not read the node at
// that moment.
func TestListWhoseWatchIsLostIsReadAgainAlsoWhileDataChanges(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	path := protected(t, conn)
	w := begin(t, zk.Watcher(list, path, zk.WithFormat(format.PlainValue()), zk.SessionTimeout(2*time.Second)))
	w.await("10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1")
	if _, err := conn.SetACL(path, digest("alice", "secret"), -1); err != nil {
		t.Fatal(err)
	}
	create(t, conn, path+"/d", "10.0.0.4:1")
	if _, err := conn.SetACL(path, open(), -1); err != nil {
		t.Fatal(err)
	}
	for i := 1; ; i++ {
		now := fmt.Sprintf("10.0.1.%d:1", i)
		if _, err := conn.Set(path+"/a", []byte(now), -1); err != nil {
			t.Fatal(err)
		}
		w.until("a change of data", func(eps []discovery.Endpoint) bool {
			return slices.ContainsFunc(eps, func(e discovery.Endpoint) bool { return e.Addr == now })
		})
		if all := w.all(); len(all[len(all)-1]) == 4 {
			return
		}
		if i == 50 {
			t.Fatal("the new server was not seen in 5 s")
		}
		time.Sleep(100 * time.Millisecond) // less than it takes to find out
	}
}

// The connection is lost after each of many numbers of bytes, inside a list and
// between two.
func TestListThatIsCutOffAnywhereIsNeverReported(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	const n = 40
	path := newRoot(t, conn)
	fill(t, conn, path, format.GRPCNaming(), n)
	proxy, addrs := proxies(t, list[0])
	cuts := 0
	for at := int64(0); ; at += 61 {
		cut := proxy[0].CutAfter(at)
		w := begin(t, zk.Watcher(addrs, path, zk.WithFormat(format.GRPCNaming())))
		w.until("all", func(eps []discovery.Endpoint) bool { return len(eps) == n })
		for i, eps := range w.all() {
			if len(eps) != n {
				t.Fatalf("cut after %d bytes, report %d was of %d servers", at, i+1, len(eps))
			}
		}
		w.stop()
		select {
		case <-cut:
			cuts++
		default: // everything fits in before
			if cuts < 30 {
				t.Errorf("only %d cuts", cuts)
			}
			return
		}
	}
}

func TestCauseOfAnOutageAtTheStartIsReportedAtOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), discovery.RetryWindow/2)
	defer cancel()
	var cause error
	w := zk.Watcher([]string{addr}, "/services/echo")
	discovery.Follow(ctx, w, discovery.Follower{Retrying: func(err error) {
		cause = err
		cancel()
	}})
	if cause == nil || !strings.Contains(cause.Error(), "/services/echo") || !strings.Contains(cause.Error(), addr+": ") || !strings.Contains(cause.Error(), "refused") {
		t.Errorf("the cause is %v", cause)
	}
	if got, want := w.(interface{ String() string }).String(), "zk /services/echo at "+addr; got != want {
		t.Errorf("the place is %q, want %q", got, want)
	}

	g, err := discovery.Register(zk.Registrar([]string{addr}, "/services/echo"), self)
	if err != nil {
		t.Fatal(err)
	}
	poll(t, "the cause", func() bool { _, err := g.State(); return err != nil })
	if state, err := g.State(); state != discovery.StateRegistering || !strings.Contains(err.Error(), "refused") {
		t.Errorf("the registration is %v, error %v", state, err)
	}
	if err := g.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
