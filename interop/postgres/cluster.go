package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cluster is an etcd and the members of a cluster of PostgreSQL.
type cluster struct {
	dir   string
	etcd  string // its address
	as    *syscall.Credential
	procs []*exec.Cmd
	nodes []*node
}

// node is one member: a Patroni and its PostgreSQL.
type node struct {
	name, data, conf string
	addr, api        string
	patroni          *exec.Cmd
}

// newCluster starts the etcd, and a primary with two replicas.
func newCluster(ctx context.Context) (*cluster, error) {
	dir, err := os.MkdirTemp("", "postgres")
	if err != nil {
		return nil, err
	}
	c := &cluster{dir: dir}
	return c, c.start(ctx)
}

func (c *cluster) start(ctx context.Context) error {
	if os.Geteuid() == 0 { // PostgreSQL does not run as root
		u, err := user.Lookup("postgres")
		if err != nil {
			return err
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2, os.Chown(c.dir, int(uid), int(gid))); err != nil { //nolint:gosec // they have 32 bits
			return err
		}
		c.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	peers, err := freeAddr(ctx)
	if err != nil {
		return err
	}
	if c.etcd, err = freeAddr(ctx); err != nil {
		return err
	}
	if _, err := c.launch("etcd", cmp.Or(os.Getenv("ETCD"), "etcd"), "--data-dir", filepath.Join(c.dir, "etcd"),
		"--listen-client-urls", "http://"+c.etcd, "--advertise-client-urls", "http://"+c.etcd,
		"--listen-peer-urls", "http://"+peers, "--initial-advertise-peer-urls", "http://"+peers, "--initial-cluster", "default=http://"+peers); err != nil {
		return err
	}
	if err := until(ctx, "etcd answers", time.Minute, func() bool {
		nc, err := new(net.Dialer).DialContext(ctx, "tcp", c.etcd)
		if err == nil {
			_ = nc.Close()
		}
		return err == nil
	}); err != nil {
		return err
	}
	for i := range 3 {
		n := &node{name: fmt.Sprint("n", i+1)}
		n.data, n.conf = filepath.Join(c.dir, n.name), filepath.Join(c.dir, n.name+".yml")
		var err1, err2 error
		n.addr, err1 = freeAddr(ctx)
		n.api, err2 = freeAddr(ctx)
		if err := errors.Join(err1, err2, os.WriteFile(n.conf, []byte(c.config(n)), 0o644), c.run(n)); err != nil { //nolint:gosec // for the user postgres
			return err
		}
		c.nodes = append(c.nodes, n)
	}
	return c.settled(ctx, 3)
}

// config is Patroni's. Its clocks are the shortest that it accepts; commits wait for a
// replica, so that none is lost with the primary.
func (c *cluster) config(n *node) string {
	bin := "/usr/lib/postgresql/15/bin"
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin"); len(found) > 0 {
		bin = slices.Max(found)
	}
	return fmt.Sprintf(`scope: orders
name: %[1]s
restapi: {listen: %[2]q, connect_address: %[2]q}
etcd3: {host: %[3]q}
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 1
    retry_timeout: 3
    synchronous_mode: true
    postgresql:
      use_pg_rewind: true
      parameters: {wal_log_hints: "on", shared_buffers: 16MB, max_connections: 100}
  initdb: [{encoding: UTF8}, {auth: trust}]
postgresql:
  listen: %[4]q
  connect_address: %[4]q
  data_dir: %[5]q
  bin_dir: %[6]q
  pgpass: %[7]q
  authentication:
    superuser: {username: postgres}
    replication: {username: postgres}
    rewind: {username: postgres}
  parameters: {unix_socket_directories: %[8]q}
  pg_hba: ["local all all trust", "host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"]
`, n.name, n.api, c.etcd, n.addr, n.data, bin, n.data+".pgpass", c.dir)
}

// launch starts a program that logs to a file of its name.
func (c *cluster) launch(name, program string, args ...string) (*exec.Cmd, error) {
	log, err := os.OpenFile(filepath.Join(c.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(program, args...) //nolint:gosec,noctx // the programs of this file; close ends them
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.as, Setpgid: true} // the terminal's interrupt is ours
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c.procs = append(c.procs, cmd)
	return cmd, nil
}

// run starts the Patroni of a node, which starts its PostgreSQL.
func (c *cluster) run(n *node) (err error) {
	n.patroni, err = c.launch(n.name, "patroni", n.conf)
	return err
}

// kill is kill -9 of a node, as if its machine were lost.
func (n *node) kill() error {
	pids := []int{n.patroni.Process.Pid}
	if b, err := os.ReadFile(filepath.Join(n.data, "postmaster.pid")); err == nil {
		first, _, _ := bytes.Cut(b, []byte("\n"))
		pid, err := strconv.Atoi(string(first))
		if err != nil {
			return err
		}
		pids = append(pids, append([]int{pid}, children(pid)...)...)
	}
	var errs []error
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, err)
		}
	}
	_ = n.patroni.Wait()
	return errors.Join(errs...)
}

// children returns the processes that a process has started.
func children(pid int) (pids []int) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, f := range strings.Fields(string(b)) {
		if n, err := strconv.Atoi(f); err == nil {
			pids = append(pids, n)
		}
	}
	return pids
}

// member is what Patroni says of one.
type member struct {
	Name, Role, State string
	Lag               any
}

// members asks any Patroni.
func (c *cluster) members(ctx context.Context) (ms []member) {
	for _, n := range c.nodes {
		var body struct{ Members []member }
		if c.api(ctx, n, http.MethodGet, "/cluster", nil, &body) == nil {
			return body.Members
		}
	}
	return nil
}

func (c *cluster) api(ctx context.Context, n *node, method, path string, body []byte, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+n.api+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= http.StatusBadRequest {
		return errors.New(resp.Status)
	}
	if answer == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}

// settled waits until so many members run and follow, one of them as the primary.
func (c *cluster) settled(ctx context.Context, size int) error {
	return until(ctx, "the cluster is complete", 3*time.Minute, func() bool {
		good, primary, sync := 0, 0, 0
		for _, m := range c.members(ctx) {
			switch {
			case m.State != "running" && m.State != "streaming":
			case m.Role == "leader":
				primary++
				good++
			case m.Lag == 0.0:
				good++
				if m.Role == "sync_standby" {
					sync++
				}
			}
		}
		return good >= size && primary == 1 && sync > 0
	})
}

// primary returns the node that has the role.
func (c *cluster) primary(ctx context.Context) *node {
	for _, m := range c.members(ctx) {
		for _, n := range c.nodes {
			if m.Role == "leader" && m.Name == n.name {
				return n
			}
		}
	}
	return nil
}

// switchover asks for another primary.
func (c *cluster) switchover(ctx context.Context) error {
	old := c.primary(ctx)
	if old == nil {
		return errors.New("there is no primary")
	}
	body, _ := json.Marshal(map[string]string{"leader": old.name}) //nolint:errchkjson // a map of strings
	return c.api(ctx, old, http.MethodPost, "/switchover", body, nil)
}

// close ends all that was started. A Patroni stops its PostgreSQL.
func (c *cluster) close() {
	for _, n := range c.nodes {
		_ = n.kill()
	}
	for _, p := range c.procs {
		_ = p.Process.Kill()
		_ = p.Wait()
	}
	_ = os.RemoveAll(c.dir)
}

func freeAddr(ctx context.Context) (string, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

func until(ctx context.Context, what string, most time.Duration, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for tick := time.NewTicker(100 * time.Millisecond); !ok(); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("postgres: not within %v: %s", most, what)
		}
	}
	return nil
}
