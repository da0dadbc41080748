package etcd_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// timeout bounds what a test waits for.
const timeout = 30 * time.Second

// cluster is an etcd of the test's own, which it may kill and wipe.
type cluster struct {
	t       *testing.T
	members []*member
}

type member struct {
	name         string
	client, peer string
	flags        []string
	dir          string
	cmd          *exec.Cmd
	log          bytes.Buffer
}

// startCluster starts n members with the flags, from the program that the
// environment variable ETCD_BINARY names, or else "etcd".
func startCluster(t *testing.T, n int, flags ...string) *cluster {
	t.Helper()
	binary := os.Getenv("ETCD_BINARY")
	if binary == "" {
		binary = "etcd"
	}
	binary, err := exec.LookPath(binary)
	if err != nil {
		t.Skipf("a program etcd, to be killed and wiped, is neither in $ETCD_BINARY nor in $PATH: %v", err)
	}
	c := &cluster{t: t}
	var initial []string
	for i := range n {
		m := &member{name: fmt.Sprint("m", i), client: freeAddr(t), peer: freeAddr(t), dir: filepath.Join(t.TempDir(), "data")}
		c.members = append(c.members, m)
		initial = append(initial, m.name+"=http://"+m.peer)
	}
	for _, m := range c.members {
		scheme := "http://"
		if slices.Contains(flags, "--cert-file") {
			scheme = "https://"
		}
		m.flags = append([]string{
			binary, "--name", m.name, "--data-dir", m.dir, "--log-level", "error", "--unsafe-no-fsync",
			"--listen-client-urls", scheme + m.client, "--advertise-client-urls", scheme + m.client,
			"--listen-peer-urls", "http://" + m.peer, "--initial-advertise-peer-urls", "http://" + m.peer,
			"--initial-cluster", strings.Join(initial, ","),
		}, flags...)
		c.start(m)
	}
	t.Cleanup(func() {
		for _, m := range c.members {
			m.kill()
		}
	})
	if !slices.Contains(flags, "--cert-file") { // else a watch waits as well
		c.ready()
	}
	return c
}

// freeAddr returns an address that nobody listens at.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (c *cluster) start(m *member) {
	c.t.Helper()
	m.cmd = exec.Command(m.flags[0], m.flags[1:]...)
	m.cmd.Stdout, m.cmd.Stderr = &m.log, &m.log
	if err := m.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
}

// kill ends the process as a crash would.
func (m *member) kill() {
	if m.cmd != nil {
		_ = m.cmd.Process.Kill()
		_ = m.cmd.Wait()
		m.cmd = nil
	}
}

// wipe removes what the member has stored.
func (c *cluster) wipe(m *member) {
	c.t.Helper()
	if err := os.RemoveAll(m.dir); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) addrs() []string {
	addrs := make([]string, len(c.members))
	for i, m := range c.members {
		addrs[i] = m.client
	}
	return addrs
}

// ready waits until the cluster answers.
func (c *cluster) ready() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), timeout)
	defer cancel()
	db := raw(c.t, c.addrs())
	for {
		once, cancel := context.WithTimeout(ctx, time.Second)
		_, err := db.Get(once, "x")
		cancel()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			c.t.Fatalf("no etcd after %v: %v\n%s", timeout, err, c.members[0].log.String())
		}
	}
}

func put(t *testing.T, db *clientv3.Client, key, value string, opts ...clientv3.OpOption) *clientv3.PutResponse {
	t.Helper()
	resp, err := db.Put(t.Context(), key, value, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func remove(t *testing.T, db *clientv3.Client, key string) {
	t.Helper()
	if _, err := db.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
}

// awaitState waits until the registration is in the state, and returns the
// error.
func awaitState(t *testing.T, g *discovery.Registration, want discovery.State) error {
	t.Helper()
	for late := time.After(timeout); ; {
		is, err := g.State()
		if is == want {
			return err
		}
		select {
		case <-time.After(time.Millisecond):
		case <-late:
			t.Fatalf("%v after %v: %v", is, timeout, err)
		}
	}
}

// entry is a server as the format naming writes it.
func entry(addr string) string { return fmt.Sprintf(`{"Op":0,"Addr":%q}`, addr) }
