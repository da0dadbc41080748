package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// freeAddr returns an address on loopback that nobody listens on.
func freeAddr(ctx context.Context) (string, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// launch runs a registry until ctx is done, as one of children, and returns when it
// listens on addr.
func launch(ctx context.Context, children *sync.WaitGroup, addr, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // the programs of this file
	if err := cmd.Start(); err != nil {
		return err
	}
	children.Go(func() { _ = cmd.Wait() })
	for range 600 {
		if c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr); err == nil {
			return c.Close()
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("%s does not listen", name)
}

// consulAgent starts an agent that is a server, and returns its address and version.
func consulAgent(ctx context.Context, children *sync.WaitGroup) (addr, version string, err error) {
	program := cmp.Or(os.Getenv("CONSUL_BINARY"), "consul")
	out, err := exec.CommandContext(ctx, program, "version").Output() //nolint:gosec // the user's own Consul
	if err != nil {
		return "", "", err
	}
	ports := make([]string, 3)
	for i := range ports {
		if addr, err = freeAddr(ctx); err != nil {
			return "", "", err
		}
		_, ports[i], _ = net.SplitHostPort(addr)
	}
	addr = net.JoinHostPort("127.0.0.1", ports[0])
	return addr, strings.Replace(strings.SplitN(string(out), "\n", 2)[0], " v", " ", 1), launch(ctx, children, addr, program, "agent", "-dev", "-bind", "127.0.0.1", "-log-level", "error",
		"-http-port", ports[0], "-server-port", ports[1], "-serf-lan-port", ports[2], "-serf-wan-port", "-1", "-dns-port", "-1", "-grpc-port", "-1", "-grpc-tls-port", "-1")
}

// registries starts those of etcd, ZooKeeper and Consul that are needed, and returns their
// addresses and versions by the scheme of URLs.
func registries(ctx context.Context, children *sync.WaitGroup, dir string, needed func(scheme string) bool) (addr, version map[string]string, err error) {
	addr, version = map[string]string{}, map[string]string{}
	for scheme, start := range map[string]func() (addr, version string, err error){
		"etcd":   func() (string, string, error) { return etcdServer(ctx, children, dir) },
		"zk":     func() (string, string, error) { return zkServer(ctx, children, dir) },
		"consul": func() (string, string, error) { return consulAgent(ctx, children) },
	} {
		if !needed(scheme) {
			continue
		}
		if addr[scheme], version[scheme], err = start(); err != nil {
			return nil, nil, err
		}
	}
	return addr, version, nil
}

func etcdServer(ctx context.Context, children *sync.WaitGroup, dir string) (addr, version string, err error) {
	program := cmp.Or(os.Getenv("ETCD"), "etcd")
	out, err := exec.CommandContext(ctx, program, "--version").Output() //nolint:gosec // the user's own etcd
	if err != nil {
		return "", "", err
	}
	version = strings.Replace(strings.SplitN(string(out), "\n", 2)[0], " Version:", "", 1)
	addr, err = freeAddr(ctx)
	if err != nil {
		return "", "", err
	}
	peers, err := freeAddr(ctx)
	if err != nil {
		return "", "", err
	}
	return addr, version, launch(ctx, children, addr, program, "--data-dir", filepath.Join(dir, "etcd"), "--log-level", "error",
		"--listen-client-urls", "http://"+addr, "--advertise-client-urls", "http://"+addr,
		"--listen-peer-urls", "http://"+peers, "--initial-advertise-peer-urls", "http://"+peers, "--initial-cluster", "default=http://"+peers)
}

func zkServer(ctx context.Context, children *sync.WaitGroup, dir string) (addr, version string, err error) {
	if addr, err = freeAddr(ctx); err != nil {
		return "", "", err
	}
	_, port, _ := net.SplitHostPort(addr)
	conf := fmt.Sprintf("tickTime=500\ndataDir=%s\nclientPort=%s\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\nmaxSessionTimeout=60000\n", filepath.Join(dir, "zk"), port)
	file := filepath.Join(dir, "zoo.cfg")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return "", "", err
	}
	if err := launch(ctx, children, addr, "java", "-cp", zkClasspath, "org.apache.zookeeper.server.quorum.QuorumPeerMain", file); err != nil {
		return "", "", err
	}
	return addr, "ZooKeeper 3.8.0", zkServes(ctx, addr)
}

// zkServes returns when the ZooKeeper at addr serves: it listens before, and hangs up on
// who comes in between.
func zkServes(ctx context.Context, addr string) error {
	for range 600 {
		if c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr); err == nil {
			_ = c.SetDeadline(time.Now().Add(time.Second))
			_, _ = io.WriteString(c, "srvr")
			answer, _ := io.ReadAll(c)
			_ = c.Close()
			if strings.Contains(string(answer), "Mode:") {
				return nil
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("ZooKeeper does not serve at %s", addr)
}

// zkClasspath and curatorClasspath are Debian's.
const (
	zkClasspath      = "/etc/zookeeper/conf:/usr/share/java/*"
	curatorClasspath = "/usr/share/java/*"
)
