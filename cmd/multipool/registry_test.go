package main_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// missing skips the test, or fails it where there must be registries.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("REQUIRE_REGISTRIES") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// launch starts a registry of the test's own, and waits until it listens.
func launch(t *testing.T, addr, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	until(t, name, func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// startEtcd starts the etcd that ETCD_BINARY names, or that is in the path, with flags, and
// returns its address.
func startEtcd(t *testing.T, flags ...string) string {
	t.Helper()
	binary := os.Getenv("ETCD_BINARY")
	if binary == "" {
		binary = "etcd"
	}
	binary, err := exec.LookPath(binary)
	if err != nil {
		missing(t, "a program etcd is neither in $ETCD_BINARY nor in $PATH")
	}
	client, peer, scheme := freeAddr(t), freeAddr(t), "http://"
	if strings.Contains(strings.Join(flags, " "), "--cert-file") {
		scheme = "https://"
	}
	launch(t, client, binary, append([]string{
		"--data-dir", filepath.Join(t.TempDir(), "etcd"), "--log-level", "error",
		"--listen-client-urls", scheme + client, "--advertise-client-urls", scheme + client,
		"--listen-peer-urls", "http://" + peer, "--initial-advertise-peer-urls", "http://" + peer, "--initial-cluster", "default=http://" + peer,
	}, flags...)...)
	return client
}

// etcdClient is the tests' own way into etcd.
func etcdClient(t *testing.T, addr string) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{addr}, Logger: zap.NewNop(), DialTimeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func put(t *testing.T, c *clientv3.Client, key, value string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	if _, err := c.Put(ctx, key, value); err != nil {
		t.Fatal(err)
	}
}

// startZooKeeper starts Debian's ZooKeeper and returns its address.
func startZooKeeper(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat("/usr/share/java/zookeeper.jar"); err != nil {
		missing(t, "ZOOKEEPER_SERVERS is not set, and Debian's package zookeeper is not there")
	}
	addr, dir := freeAddr(t), t.TempDir()
	_, port, _ := net.SplitHostPort(addr)
	conf := filepath.Join(dir, "zoo.cfg")
	write(t, conf, fmt.Sprintf("tickTime=500\ndataDir=%s\nclientPort=%s\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n", filepath.Join(dir, "zk"), port))
	launch(t, addr, "java", "-Xmx128m", "-cp", "/etc/zookeeper/conf:/usr/share/java/*", "org.apache.zookeeper.server.quorum.QuorumPeerMain", conf)
	// It listens before it serves, and hangs up on who comes in between.
	until(t, "ZooKeeper to serve", func() bool {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(timeout))
		_, _ = io.WriteString(c, "srvr")
		stat, _ := io.ReadAll(c)
		return strings.Contains(string(stat), "Mode:")
	})
	return addr
}

// startConsul starts the Consul that CONSUL_BINARY names, with a configuration in HCL.
func startConsul(t *testing.T, hcl string) string {
	t.Helper()
	binary := os.Getenv("CONSUL_BINARY")
	if binary == "" {
		binary = "consul"
	}
	binary, err := exec.LookPath(binary)
	if err != nil {
		missing(t, "a program consul is neither in $CONSUL_BINARY nor in $PATH")
	}
	port := func() string { _, p, _ := net.SplitHostPort(freeAddr(t)); return p }
	http := port()
	addr := "127.0.0.1:" + http
	launch(t, addr, binary, "agent", "-dev", "-bind=127.0.0.1", "-log-level=err", "-http-port="+http, "-dns-port=-1", "-grpc-port=-1", "-grpc-tls-port=-1",
		"-server-port="+port(), "-serf-lan-port="+port(), "-serf-wan-port="+port(), "-hcl=disable_update_check = true\n"+hcl)
	return addr
}

var places atomic.Int64

// place returns a name that nothing else uses.
func place() string {
	return fmt.Sprintf("multipool-%d-%d", time.Now().UnixNano(), places.Add(1))
}

// writable returns the URL of a place of its own in each kind of registry that takes
// registrations: those that the environment names, else some of the test's own.
func writable(t *testing.T) map[string]func(t *testing.T) string {
	t.Helper()
	return map[string]func(t *testing.T) string{
		"zk": func(t *testing.T) string {
			addr := os.Getenv("ZOOKEEPER_SERVERS")
			if addr == "" {
				addr = startZooKeeper(t)
			}
			return "zk://" + addr + "/" + place() + "?format=curator"
		},
		"etcd": func(t *testing.T) string {
			addr := os.Getenv("ETCD_ENDPOINTS")
			if addr == "" {
				addr = startEtcd(t)
			}
			return "etcd://" + addr + "/" + place() + "/"
		},
		"consul": func(t *testing.T) string {
			addr := os.Getenv("CONSUL_HTTP_ADDR")
			if addr == "" {
				addr = startConsul(t, "")
			}
			return "consul://" + addr + "/" + place() + "?allow_plaintext_credentials=true"
		},
	}
}

// The test's program is also the server that register runs: serverMode says how it behaves.
const serverMode = "MULTIPOOL_TEST_SERVER"

// serve is that server: mode is its address, a space and a folder. It listens while there is
// the file "listen", and exits with 7 when there is the file "crash".
func serve(mode string) {
	addr, dir, _ := strings.Cut(mode, " ")
	has := func(name string) bool { _, err := os.Stat(filepath.Join(dir, name)); return err == nil }
	if has("stubborn") {
		ignoreTerminate()
	}
	if has("hang") {
		hangInShutdown()
	}
	fmt.Println("up", os.Getpid())
	var l net.Listener
	for range time.Tick(20 * time.Millisecond) {
		switch {
		case has("crash"):
			os.Exit(7)
		case has("listen") && l == nil:
			var err error
			if l, err = net.Listen("tcp", addr); err != nil {
				panic(err)
			}
			go func(l net.Listener) {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = io.WriteString(c, "hello")
					c.Close()
				}
			}(l)
		case !has("listen") && l != nil:
			l.Close()
			l = nil
		}
	}
}
