package main_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	zookeeper "github.com/go-zookeeper/zk"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// examined is what doctor's JSON says.
type examined struct {
	Exit  int
	Steps []struct {
		Step, Verdict, Result, Advice string
		Details                       []string
	}
}

// doctor runs doctor and fails the test unless the last step is the one with this verdict, and
// what it says has the parts.
func doctor(t *testing.T, url string, code int, step, verdict string, parts ...string) {
	t.Helper()
	r := run(t, "doctor", "-o", "json", "--timeout", "2s", url)
	var e examined
	if err := json.Unmarshal([]byte(r.stdout), &e); err != nil {
		t.Fatalf("%v: %s%s", err, r.stdout, r.stderr)
	}
	last := e.Steps[len(e.Steps)-1]
	if r.code != code || e.Exit != code || last.Step != step || last.Verdict != verdict {
		t.Errorf("exit code %d, step %s %s, want %d, %s %s\n%s", r.code, last.Step, last.Verdict, code, step, verdict, r.stdout)
	}
	contains(t, last.Result+"\n"+strings.Join(last.Details, "\n")+"\n"+last.Advice, parts...)
	if strings.Contains(r.stdout, "s3cret") {
		t.Errorf("it shows the password\n%s", r.stdout)
	}
}

func TestDoctorNamesWhatStandsBetweenItAndARegistry(t *testing.T) {
	hung, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hung.Close() }) // after the parallel tests below
	for _, c := range []struct {
		name, url, step string
		code            int
		parts           []string
	}{
		{"a mistake in the URL", "zk://127.0.0.1/x?formt=curator", "parse", 2, []string{`"formt" is not known`}},
		{"a secret that is not there", "etcd://u:env%3ANOT_THERE@127.0.0.1/x", "parse", 2, []string{"NOT_THERE"}},
		{"a name", "zk://no-such-host.invalid/x", "resolve", 1, []string{"no-such-host.invalid", "does not resolve", "spelling"}},
		{"a port", "etcd://" + freeAddr(t) + "/x", "connect", 1, []string{"connection refused", "nothing listens"}},
		{"hung etcd", "etcd://" + hung.Addr().String() + "/x/?timeout=500ms", "list", 1, []string{"does not answer"}},
		{"hung ZooKeeper", "zk://" + hung.Addr().String() + "/x", "list", 1, []string{"does not answer"}},
		{"hung Consul", "consul://" + hung.Addr().String() + "/x?timeout=500ms&allow_plaintext_credentials=true", "list", 1, []string{"does not answer"}},
		{"hung under TLS", "etcd://" + hung.Addr().String() + "/x/?tls=true", "tls", 1, []string{"remove tls=true"}},
		{"a cluster without a control plane", "xds://" + freeAddr(t) + "/echo", "connect", 1, []string{"connection refused"}},
		{"no kubeconfig", "k8s:///shop/echo?kubeconfig=/no/such/config", "parse", 2, []string{"/no/such/config"}},
		{"a file", "file:///no/such/file", "list", 1, []string{"does not exist"}},
		{"a broken file", "file://" + servers(t, "a:1 heavy\n"), "list", 1, []string{"weight", "Correct the file"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			doctor(t, c.url, c.code, c.step, "failed", c.parts...)
		})
	}
}

func TestDoctorNamesTheServersThatAreDead(t *testing.T) {
	live, dead := listen(t), freeAddr(t)
	doctor(t, "static://"+live, 0, "dial", "ok", "1 of 1")
	doctor(t, "static://"+live+","+dead, 4, "dial", "warning", "1 of 2 servers", dead+": connection refused")
	doctor(t, "static://"+dead, 4, "dial", "failed", "0 of 1 servers")
	doctor(t, "file://"+servers(t, "# none\n"), 3, "entries", "failed", "no server is registered")
}

// certificate writes the certificate of a server of net/http/httptest, which is its own
// authority, and returns its files.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	pair := s.TLS.Certificates[0]
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})))
	write(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	return cert, key
}

func TestDoctorNamesWhatIsWrongWithTLS(t *testing.T) {
	cert, key := certificate(t)
	secure := startEtcd(t, "--cert-file", cert, "--key-file", key)
	plain := startEtcd(t)
	doctor(t, "etcd://"+secure+"/x/", 1, "tls", "failed", "add tls=true")
	doctor(t, "etcd://"+secure+"/x/?tls=true", 1, "tls", "failed", "unknown authority", "tls_ca=FILE")
	doctor(t, "etcd://"+secure+"/x/?tls=true&tls_server_name=elsewhere&tls_ca="+cert, 1, "tls", "failed", "elsewhere", "tls_server_name=NAME")
	doctor(t, "etcd://"+secure+"/x/?tls=true&tls_ca="+cert, 3, "entries", "failed", "nothing at this place")
	doctor(t, "etcd://"+plain+"/x/?tls=true", 1, "tls", "failed", "remove tls=true")
}

func TestDoctorNamesWhatIsWrongWithAUserOrAPathInEtcd(t *testing.T) {
	addr := startEtcd(t)
	c := etcdClient(t, addr)
	live := listen(t)
	put(t, c, "/svc/a", fmt.Sprintf(`{"Op":0,"Addr":%q}`, live))
	put(t, c, "/svc/b", `{"Op":0,"Addr":"nonsense"}`)
	put(t, c, "/kratos/a", fmt.Sprintf(`{"id":"a","name":"kratos","endpoints":["grpc://%s"]}`, live))

	doctor(t, "etcd://"+addr+"/svc/", 4, "dial", "ok", "1 of 1")
	half := run(t, "doctor", "--timeout", "2s", "etcd://"+addr+","+freeAddr(t)+"/svc/")
	if half.code != 4 {
		t.Errorf("exit code %d with half of the registry's servers dead", half.code)
	}
	contains(t, half.stdout, "1 of 2 hosts accept connections", "connection refused", "works without these hosts until the others fail", "1 of 1 servers accept")
	r := run(t, "doctor", "etcd://"+addr+"/svc/")
	contains(t, r.stdout, `1 of 2 entries are skipped`, `"/svc/b"`, "address is not host:port")
	doctor(t, "etcd://"+addr+"/kratos/", 3, "entries", "failed", "look like kratos", "format=NAME")
	doctor(t, "etcd://"+addr+"/svc/c/", 3, "entries", "failed", "one level up", "The path is wrong")

	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	for _, user := range []string{"root", "other"} {
		if _, err := c.UserAdd(ctx, user, "s3cret"); err != nil {
			t.Fatal(err)
		}
	}
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.RoleAdd(ctx, "root"))
	must(c.UserGrantRole(ctx, "root", "root"))
	must(c.RoleAdd(ctx, "elsewhere"))
	must(c.RoleGrantPermission(ctx, "elsewhere", "/elsewhere/", clientv3.GetPrefixRangeEnd("/elsewhere/"), clientv3.PermissionType(clientv3.PermReadWrite)))
	must(c.UserGrantRole(ctx, "other", "elsewhere"))
	must(c.AuthEnable(ctx))
	doctor(t, "etcd://"+addr+"/svc/", 1, "login", "failed", "wants a user")
	doctor(t, "etcd://root:s3cret-not@"+addr+"/svc/", 1, "login", "failed", "password is wrong")
	doctor(t, "etcd://other:s3cret@"+addr+"/svc/", 1, "list", "failed", "grant it reading")
	doctor(t, "etcd://root:s3cret@"+addr+"/svc/", 4, "dial", "ok", "1 of 1")
}

func TestDoctorNamesWhatIsWrongWithAUserOrAPathInZooKeeper(t *testing.T) {
	addr, root := os.Getenv("ZOOKEEPER_SERVERS"), "/"+place()
	if addr == "" {
		addr = startZooKeeper(t)
	}
	c, _, err := zookeeper.Connect(strings.Split(addr, ","), timeout, zookeeper.WithLogInfo(false))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	create := func(path, data string, acl []zookeeper.ACL) {
		t.Helper()
		if _, err := c.Create(root+path, []byte(data), 0, acl); err != nil {
			t.Fatal(err)
		}
	}
	open := zookeeper.WorldACL(zookeeper.PermAll)
	create("", "", open)
	create("/svc", "", open)
	create("/svc/"+listen(t), "", open)
	create("/curator", "", open)
	create("/curator/a", fmt.Sprintf(`{"name":"curator","id":"a","address":"127.0.0.1","port":%s,"serviceType":"DYNAMIC"}`, strings.Split(listen(t), ":")[1]), open)
	create("/closed", "", zookeeper.DigestACL(zookeeper.PermAll, "owner", "s3cret"))

	doctor(t, "zk://"+addr+root+"/svc", 0, "dial", "ok", "1 of 1")
	doctor(t, "zk://"+addr+root+"/curator", 3, "entries", "failed", "look like curator", "format=NAME")
	doctor(t, "zk://"+addr+root+"/nobody", 3, "entries", "failed", "the path or name is wrong")
	doctor(t, "zk://"+addr+root+"/closed", 1, "list", "failed", "No permission")
	doctor(t, "zk://owner:s3cret-not@"+addr+root+"/closed", 1, "list", "failed", "a wrong one shows only here")
	doctor(t, "zk://owner:s3cret@"+addr+root+"/closed", 3, "entries", "failed", "nothing at this place")
}

func TestDoctorNamesWhatIsWrongWithATokenInConsul(t *testing.T) {
	addr := startConsul(t, `acl { enabled = true  default_policy = "deny"  tokens { initial_management = "11111111-2222-3333-4444-555555555555" } }`)
	until(t, "the leader", func() bool {
		return run(t, "ls", "--timeout", "2s", "consul://"+addr+"/svc?credentials=11111111-2222-3333-4444-555555555555").code == 3
	})
	doctor(t, "consul://"+addr+"/svc?credentials=s3cret", 1, "login", "failed", "does not know this token")
	doctor(t, "consul://"+addr+"/svc?credentials=11111111-2222-3333-4444-555555555555", 3, "entries", "failed", "nothing at this place")
	t.Setenv("CONSUL_HTTP_TOKEN", "")
	doctor(t, "consul://"+addr+"/svc", 1, "list", "failed", "may not read this service")
}
