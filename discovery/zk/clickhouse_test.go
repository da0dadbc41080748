package zk_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	client "github.com/go-zookeeper/zk"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/plugintest"
	"github.com/minicaptain/multi_connection_pool/discovery/zk"
)

// table is the path of a replicated table of ClickHouse, which is to be written as
// ClickHouse writes it: a replica that begins is made whole, with an empty host, and each
// start of its server creates is_active and sets host in one transaction.
type table struct {
	t    *testing.T
	conn *client.Conn
	path string
}

func newTable(t *testing.T, conn *client.Conn) *table {
	t.Helper()
	path := newRoot(t, conn)
	create(t, conn, path, "")
	create(t, conn, path+"/log", "")
	create(t, conn, path+"/replicas", "last added replica: r1")
	return &table{t, conn, path}
}

func (c *table) add(replica string) {
	c.t.Helper()
	for _, node := range []string{"", "/columns", "/host", "/log_pointer", "/queue"} {
		create(c.t, c.conn, c.path+"/replicas/"+replica+node, "")
	}
}

// start activates a replica, with a connection whose session its is_active goes with.
func (c *table) start(conn *client.Conn, replica, host string, port int) {
	c.t.Helper()
	at := c.path + "/replicas/" + replica
	_, err := conn.Multi(
		&client.CreateRequest{Path: at + "/is_active", Data: []byte("pid: 312, random: 9141238121"), Acl: open(), Flags: client.FlagEphemeral},
		&client.SetDataRequest{Path: at + "/host", Version: -1, Data: fmt.Appendf(nil, "host: %s\nport: 9009\ntcp_port: %d\ndatabase: default\ntable: hits\nscheme: http\n", host, port)})
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *table) watch(list []string) *watch {
	c.t.Helper()
	return begin(c.t, zk.Watcher(list, c.path+"/replicas", zk.WithFormat(format.ClickHouse())))
}

func TestReplicasOfClickHouseAreServersWhileTheyAreActive(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	c := newTable(t, conn)
	w := c.watch(list)
	w.await()
	c.add("r1")
	c.start(conn, "r1", "ch-1.example", 9000)
	w.await("ch-1.example:9000")
	if got := w.all(); !got[len(got)-1][0].Equal(discovery.Endpoint{Addr: "ch-1.example:9000", Attrs: map[string]string{"database": "default", "table": "hits"}}) {
		t.Errorf("it is %+v", got[len(got)-1][0])
	}
	c.add("r2")
	other := admin(t, list)
	c.start(other, "r2", "10.0.0.2", 9440)
	w.await("10.0.0.2:9440", "ch-1.example:9000")
	other.Close() // with its session, as after a kill
	w.await("ch-1.example:9000")
	c.start(conn, "r2", "10.0.0.3", 9000) // it has moved
	w.await("10.0.0.3:9000", "ch-1.example:9000")
	for range 10 { // faster than anybody looks
		remove(t, conn, c.path+"/replicas/r2/is_active")
		c.start(conn, "r2", "10.0.0.4", 9000)
	}
	w.await("10.0.0.4:9000", "ch-1.example:9000")
	if err := removeTree(conn, c.path+"/replicas/r1"); err != nil { // DROP TABLE
		t.Fatal(err)
	}
	w.await("10.0.0.4:9000")
	c.add("r1")
	c.start(conn, "r1", "10.0.0.1", 9000)
	w.await("10.0.0.1:9000", "10.0.0.4:9000")
}

// TestPathOfReplicasMayHaveWatchersOfBothKinds has one that reads the nodes themselves: each
// sees what it watches, and the end of one does not make the other deaf.
func TestPathOfReplicasMayHaveWatchersOfBothKinds(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	c := newTable(t, conn)
	create(t, conn, c.path+"/replicas/r1", "10.1.0.1:1")
	create(t, conn, c.path+"/replicas/r1/host", "")
	plain := zk.Watcher(list, c.path+"/replicas", zk.WithFormat(format.PlainValue()))
	p, w := begin(t, plain), c.watch(list)
	p.await("10.1.0.1:1")
	w.await()
	c.start(conn, "r1", "10.0.0.1", 9000)
	w.await("10.0.0.1:9000")
	set := func(data string) {
		t.Helper()
		if _, err := conn.Set(c.path+"/replicas/r1", []byte(data), -1); err != nil {
			t.Fatal(err)
		}
	}
	set("10.1.0.2:1")
	p.await("10.1.0.2:1")
	p.stop()
	remove(t, conn, c.path+"/replicas/r1/is_active")
	w.await()
	p = begin(t, plain)
	p.await("10.1.0.2:1")
	w.stop()
	set("10.1.0.3:1")
	p.await("10.1.0.3:1")
}

func TestReplicaWhoseHostMayNotBeReadIsAnErrorAndNeverASmallerSet(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	if err := conn.AddAuth("digest", []byte("alice:secret")); err != nil {
		t.Fatal(err)
	}
	c := newTable(t, conn)
	for i, replica := range []string{"r1", "r2"} {
		c.add(replica)
		c.start(conn, replica, fmt.Sprint("10.0.0.", i+1), 9000)
	}
	if _, err := conn.SetACL(c.path+"/replicas/r2/host", digest("alice", "secret"), -1); err != nil {
		t.Fatal(err)
	}
	w := c.watch(list)
	if err := w.fails(); !errors.Is(err, client.ErrNoAuth) || !strings.Contains(err.Error(), "r2") {
		t.Errorf("Watch ended with %v", err)
	}
	if all := w.all(); len(all) > 0 {
		t.Errorf("reported were %v", all)
	}
}

func TestTableOfClickHouseWithoutReplicasInItsPathIsNamed(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	c := newTable(t, conn)
	c.add("r1")
	c.start(conn, "r1", "10.0.0.1", 9000)
	plugintest.AwaitWarning(t, zk.Watcher(list, c.path, zk.WithFormat(format.ClickHouse())),
		"0 of 2 entries are servers in format clickhouse", "one level down, below replicas: 1 of 1 entries are servers in format clickhouse")
}
