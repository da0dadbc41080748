package cluster

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"debug/buildinfo"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
)

// Kubernetes is an API server and its etcd. They are programs of this machine, and one
// service: what happens to one of them happens to both. There is no controller.
type Kubernetes struct {
	dir       string
	addr      string // of the API server
	etcdAddr  string
	etcd, api *program
}

// Tokens of the users that the API server knows.
const (
	AdminToken      = "token-of-the-admin"      // may do everything
	FollowerToken   = "token-of-a-follower"     //nolint:gosec // of a server of the test's own; what it may do is up to its Role
	RestrictedToken = "token-of-the-restricted" // the same
)

// StartKubernetes starts the programs that $KUBE_APISERVER_BINARY and $ETCD_BINARY name,
// and waits until the API server answers.
func StartKubernetes(ctx context.Context) (_ *Kubernetes, err error) {
	var paths [2]string
	for i, variable := range []string{"KUBE_APISERVER_BINARY", "ETCD_BINARY"} {
		if paths[i] = os.Getenv(variable); paths[i] == "" {
			return nil, fmt.Errorf("cluster: %s is not set: the program is built by `integration/cluster images`", variable)
		}
	}
	k := &Kubernetes{}
	if k.dir, err = os.MkdirTemp("", "kubernetes"); err != nil {
		return nil, err
	}
	var addrs [3]string
	for i := range addrs {
		if addrs[i], err = freeAddr(ctx); err != nil {
			return nil, err
		}
	}
	k.etcdAddr, k.addr = addrs[0], addrs[1]
	key, tokens := filepath.Join(k.dir, "sa.key"), filepath.Join(k.dir, "tokens.csv")
	if err := errors.Join(writeKey(key), os.WriteFile(tokens, fmt.Appendf(nil, "%s,admin,1,system:masters\n%s,follower,2\n%s,restricted,3\n",
		AdminToken, FollowerToken, RestrictedToken), 0o600)); err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(k.addr)
	client, peer := "http://"+addrs[0], "http://"+addrs[2]
	k.etcd = &program{dir: k.dir, args: []string{
		paths[1], "--data-dir", filepath.Join(k.dir, "etcd"), "--log-level", "error", "--unsafe-no-fsync",
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default=" + peer,
	}}
	k.api = &program{dir: k.dir, args: []string{
		paths[0], "--etcd-servers=" + client, "--bind-address=127.0.0.1", "--secure-port=" + port, "--cert-dir=" + k.dir,
		"--authorization-mode=RBAC", "--token-auth-file=" + tokens, "--service-cluster-ip-range=10.0.0.0/24", "--advertise-address=192.0.2.1",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file=" + key, "--service-account-signing-key-file=" + key,
		"--disable-admission-plugins=ServiceAccount", "--endpoint-reconciler-type=none",
	}}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	err = k.do("start")
	for err == nil {
		if err = k.check(ctx); err == nil {
			return k, nil
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
			err = nil
		}
	}
	k.Close()
	return nil, err
}

// Close ends the programs.
func (k *Kubernetes) Close() {
	_ = k.do("kill")
	_ = os.RemoveAll(k.dir)
}

// Addr returns the address of the API server.
func (k *Kubernetes) Addr() string { return k.addr }

// EtcdAddr returns the address of its etcd.
func (k *Kubernetes) EtcdAddr() string { return k.etcdAddr }

// CA returns the file with the certificate of the API server, which signs itself.
func (k *Kubernetes) CA() string { return filepath.Join(k.dir, "apiserver.crt") }

// Versions names the API server and its etcd.
func (k *Kubernetes) Versions() string {
	names := make([]string, 0, 2)
	for _, p := range []struct{ path, module string }{{k.api.args[0], "k8s.io/kubernetes"}, {k.etcd.args[0], "go.etcd.io/etcd/server/v3"}} {
		name := filepath.Base(p.module)
		if name == "v3" {
			name = "etcd"
		}
		version := "unknown"
		if info, err := buildinfo.ReadFile(p.path); err == nil {
			for _, m := range append(info.Deps, &info.Main) {
				if m.Path == p.module {
					version = strings.TrimPrefix(m.Version, "v")
				}
			}
		}
		names = append(names, name+" "+version)
	}
	return strings.Join(names, " with ")
}

// Client returns a client that asks with a token, and keeps no connection.
func (k *Kubernetes) Client(token string) (*http.Client, error) {
	conf := k.Config(token)
	tlsConfig, err := rest.TLSConfigFor(conf)
	if err != nil {
		return nil, err
	}
	rt, err := rest.HTTPWrappersForConfig(conf, &http.Transport{TLSClientConfig: tlsConfig, DisableKeepAlives: true})
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: rt}, nil
}

// Config returns how a client with a token connects.
func (k *Kubernetes) Config(token string) *rest.Config {
	return &rest.Config{Host: "https://" + k.addr, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAFile: k.CA()}}
}

// check says why the API server does not answer, or nil.
func (k *Kubernetes) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	client, err := k.Client(AdminToken)
	if err != nil {
		return err // the certificate may be half written
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+k.addr+"/readyz", http.NoBody)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("cluster: the API server is not ready: %s", resp.Status)
	}
	return nil
}

// do does to both programs what docker's command does to a container.
func (k *Kubernetes) do(command string) error {
	both := []*program{k.api, k.etcd}
	var errs []error
	switch command {
	case "start":
		errs = append(errs, k.etcd.start(), k.api.start())
	case "kill":
		for _, p := range both {
			errs = append(errs, p.kill())
		}
	case "pause":
		for _, p := range both {
			errs = append(errs, p.signal(syscall.SIGSTOP))
		}
	case "unpause":
		for _, p := range both {
			errs = append(errs, p.signal(syscall.SIGCONT))
		}
	case "wipe":
		errs = append(errs, k.do("kill"), os.RemoveAll(filepath.Join(k.dir, "etcd")), k.do("start"))
	default:
		errs = append(errs, fmt.Errorf("cluster: %s means nothing to a program", command))
	}
	return errors.Join(errs...)
}

// program is a process of the test.
type program struct {
	dir  string
	args []string
	cmd  *exec.Cmd // nil if it does not run
}

func (p *program) start() error {
	if p.cmd != nil {
		return nil
	}
	log, err := os.Create(filepath.Join(p.dir, filepath.Base(p.args[0])+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	p.cmd = exec.Command(p.args[0], p.args[1:]...) //nolint:gosec,noctx // the test's own, ended by kill
	p.cmd.Stdout, p.cmd.Stderr = log, log
	return p.cmd.Start()
}

// kill ends the process as a crash does.
func (p *program) kill() error {
	if p.cmd == nil {
		return nil
	}
	err := p.cmd.Process.Kill()
	_ = p.cmd.Wait() // it was killed
	p.cmd = nil
	return err
}

func (p *program) signal(s os.Signal) error {
	if p.cmd == nil {
		return nil
	}
	return p.cmd.Process.Signal(s)
}

func writeKey(path string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	return errors.Join(pem.Encode(&b, &pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), os.WriteFile(path, b.Bytes(), 0o600))
}

// freeAddr returns an address that nobody listens at.
func freeAddr(ctx context.Context) (string, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}
