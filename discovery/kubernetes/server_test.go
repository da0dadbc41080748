package kubernetes_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
)

// timeout bounds what a test waits for.
const timeout = 2 * time.Minute

// Tokens of the users that an API server of the tests knows.
const (
	adminToken    = "token-of-the-admin"
	followerToken = "token-of-a-follower"
)

// scheme has what the tests write.
var scheme = func() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, authenticationv1.AddToScheme, corev1.AddToScheme, discoveryv1.AddToScheme, rbacv1.AddToScheme,
	} {
		if err := add(s); err != nil {
			panic(err)
		}
	}
	return s
}()

// process is a server of the test's own.
type process struct {
	tb   testing.TB
	args []string
	cmd  *exec.Cmd
	log  bytes.Buffer
}

func (p *process) start() {
	p.tb.Helper()
	p.log.Reset()
	p.cmd = exec.Command(p.args[0], p.args[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		p.tb.Fatal(err)
	}
}

// kill ends the process as a crash would.
func (p *process) kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		p.cmd = nil
	}
	if p.tb.Failed() {
		p.tb.Logf("the end of the log of %s: %s", filepath.Base(p.args[0]), p.log.Bytes()[max(0, p.log.Len()-1500):])
	}
}

// cluster is an API server and its etcd.
type cluster struct {
	tb      testing.TB
	dir     string
	addr    string // of the API server
	etcdURL string
	etcd    *process
	api     *process
	admin   rest.Interface
}

// program returns the path of a program: that of the environment variable, or else
// the one in $PATH. The test is skipped if there is none, or fails if
// REQUIRE_REGISTRIES is 1.
func program(tb testing.TB, variable, name string) string {
	tb.Helper()
	if path := os.Getenv(variable); path != "" {
		name = path
	}
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("REQUIRE_REGISTRIES") == "1" {
		tb.Fatalf("$%s: %v", variable, err)
	}
	tb.Skipf("a program %s is neither in $%s nor in $PATH: %v", name, variable, err)
	return ""
}

// startCluster starts a cluster whose etcd is that of the environment variable, and
// whose API server has further flags.
func startCluster(tb testing.TB, etcdVariable string, flags ...string) *cluster {
	tb.Helper()
	binary := program(tb, "KUBE_APISERVER_BINARY", "kube-apiserver")
	etcd := os.Getenv(etcdVariable)
	switch {
	case etcdVariable == "ETCD_BINARY":
		etcd = program(tb, etcdVariable, "etcd")
	case etcd == "":
		tb.Skipf("$%s, an etcd 3.4, is not set", etcdVariable)
	}
	dir := tb.TempDir()
	client, peer, addr := freeAddr(tb), freeAddr(tb), freeAddr(tb)
	_, port, _ := net.SplitHostPort(addr)
	key := filepath.Join(dir, "sa.key")
	writeKey(tb, key)
	tokens := filepath.Join(dir, "tokens.csv")
	if err := os.WriteFile(tokens, []byte(adminToken+",admin,1,system:masters\n"+followerToken+",follower,2\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	c := &cluster{
		tb: tb, dir: dir, addr: addr, etcdURL: "http://" + client,
		etcd: &process{tb: tb, args: []string{
			etcd, "--data-dir", filepath.Join(dir, "etcd"), "--log-level", "error", "--unsafe-no-fsync",
			"--listen-client-urls", "http://" + client, "--advertise-client-urls", "http://" + client,
			"--listen-peer-urls", "http://" + peer, "--initial-advertise-peer-urls", "http://" + peer, "--initial-cluster", "default=http://" + peer,
		}},
		api: &process{tb: tb, args: append([]string{
			binary, "--etcd-servers=http://" + client, "--bind-address=127.0.0.1", "--secure-port=" + port, "--cert-dir=" + dir,
			"--authorization-mode=RBAC", "--token-auth-file=" + tokens, "--service-cluster-ip-range=10.0.0.0/24", "--advertise-address=192.0.2.1",
			"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file=" + key, "--service-account-signing-key-file=" + key,
			"--disable-admission-plugins=ServiceAccount", "--endpoint-reconciler-type=none",
		}, flags...)},
	}
	tb.Cleanup(func() {
		c.api.kill()
		c.etcd.kill()
	})
	c.etcd.start()
	c.api.start()
	c.ready()
	return c
}

// config is how a client with a token connects to an address of the API server.
func (c *cluster) config(addr, token string) *rest.Config {
	r := &rest.Config{Host: "https://" + addr, BearerToken: token}
	r.CAFile = filepath.Join(c.dir, "apiserver.crt") // it signs itself
	return r
}

// ready waits until the API server answers the admin.
func (c *cluster) ready() {
	c.tb.Helper()
	eventually(c.tb, "the API server", func() bool {
		conn, err := net.Dial("tcp", c.addr)
		if err != nil {
			return false // the certificate may be half written
		}
		_ = conn.Close()
		if c.admin, err = rest.UnversionedRESTClientFor(c.unversioned(adminToken)); err != nil {
			return false
		}
		return c.admin.Get().AbsPath("/readyz").MaxRetries(0).Do(context.Background()).Error() == nil
	})
}

// restart ends the servers, runs f, and starts them again.
func (c *cluster) restart(f func()) {
	c.tb.Helper()
	c.api.kill()
	c.etcd.kill()
	f()
	c.etcd.start()
	c.api.start()
	c.ready()
}

func (c *cluster) wipe() {
	c.tb.Helper()
	if err := os.RemoveAll(filepath.Join(c.dir, "etcd")); err != nil {
		c.tb.Fatal(err)
	}
}

// put creates an object, or changes one that is there.
func (c *cluster) put(ctx context.Context, path, name string, o runtime.Object) error {
	err := c.admin.Put().AbsPath(path, name).Body(o).Do(ctx).Error()
	if apierrors.IsNotFound(err) {
		err = c.admin.Post().AbsPath(path).Body(o).Do(ctx).Error()
	}
	return err
}

func (c *cluster) remove(ctx context.Context, path ...string) error {
	err := c.admin.Delete().AbsPath(path...).Do(ctx).Error()
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func slicesPath(namespace string) string {
	return "/apis/discovery.k8s.io/v1/namespaces/" + namespace + "/endpointslices"
}

func rbacPath(namespace, kind string) string {
	return "/apis/rbac.authorization.k8s.io/v1/namespaces/" + namespace + "/" + kind
}

// allow lets the follower list and watch the slices of a namespace, and waits until
// the API server knows.
func (c *cluster) allow(ctx context.Context, namespace string, verbs ...string) error {
	role := &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "follower"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: verbs}},
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "follower"},
		RoleRef:    rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "Role", Name: "follower"},
		Subjects:   []rbacv1.Subject{{APIGroup: "rbac.authorization.k8s.io", Kind: "User", Name: "follower"}},
	}
	if err := c.put(ctx, rbacPath(namespace, "roles"), "follower", role); err != nil {
		return err
	}
	if err := c.put(ctx, rbacPath(namespace, "rolebindings"), "follower", binding); err != nil {
		return err
	}
	return c.awaitAccess(ctx, namespace, slices.Contains(verbs, "list"))
}

func (c *cluster) forbid(ctx context.Context, namespace string) error {
	if err := c.remove(ctx, rbacPath(namespace, "rolebindings"), "follower"); err != nil {
		return err
	}
	return c.awaitAccess(ctx, namespace, false)
}

// awaitAccess waits until the follower may list, or may not: the API server watches
// the rules itself.
func (c *cluster) awaitAccess(ctx context.Context, namespace string, may bool) error {
	follower, err := rest.UnversionedRESTClientFor(c.unversioned(followerToken))
	if err != nil {
		return err
	}
	for begun := time.Now(); time.Since(begun) < timeout; <-time.After(5 * time.Millisecond) {
		if err := follower.Get().AbsPath(slicesPath(namespace)).Do(ctx).Error(); (err == nil) == may {
			return nil
		}
	}
	return fmt.Errorf("after %v the follower's access is not %v", timeout, may)
}

// compact drops etcd's history up to now.
func (c *cluster) compact(ctx context.Context) error {
	var now struct{ Header struct{ Revision string } }
	if err := c.askEtcd(ctx, "/v3/kv/range", `{"key":"AA=="}`, &now); err != nil {
		return err
	}
	return c.askEtcd(ctx, "/v3/kv/compaction", `{"revision":"`+now.Header.Revision+`","physical":true}`, nil)
}

func (c *cluster) askEtcd(ctx context.Context, path, question string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.etcdURL+path, bytes.NewBufferString(question))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("etcd: %s: %s", resp.Status, body)
	}
	if err != nil || answer == nil {
		return err
	}
	return json.Unmarshal(body, answer)
}

func (c *cluster) namespace(ctx context.Context, name string) error {
	err := c.admin.Post().AbsPath("/api/v1/namespaces").Body(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}).Do(ctx).Error()
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func writeKey(tb testing.TB, path string) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// eventually waits for what sends no event.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for begun := time.Now(); !ok(); <-time.After(5 * time.Millisecond) {
		if time.Since(begun) > timeout {
			tb.Fatalf("waited %v for %s", timeout, what)
		}
	}
}

// freeAddr returns an address that nobody listens at.
func freeAddr(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// unversioned is config for a client of no group.
func (c *cluster) unversioned(token string) *rest.Config {
	r := c.config(c.addr, token)
	r.NegotiatedSerializer, r.QPS = serializer.NewCodecFactory(scheme).WithoutConversion(), -1
	r.WarningHandler = rest.NoWarnings{}
	return r
}

// bind lets a service account do what the follower may.
func (c *cluster) bind(ctx context.Context, namespace, account string) error {
	return c.put(ctx, rbacPath(namespace, "rolebindings"), account, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: account},
		RoleRef:    rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "Role", Name: "follower"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: account, Namespace: namespace}},
	})
}
