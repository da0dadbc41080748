package etcd_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/etcd"
)

// awaitRenewals waits until the servers have been asked n times to renew a lease.
func awaitRenewals(t *testing.T, n int, servers ...string) {
	t.Helper()
	const counter = "grpc_server_msg_received_total"
	count := func() (total int) {
		for _, s := range servers {
			total += counted(t, s, counter, "LeaseKeepAlive")
		}
		return total
	}
	late := time.After(timeout)
	for begin := count(); count() < begin+n; {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-late:
			t.Fatalf("%d renewals in %v, want %d", count()-begin, timeout, n)
		}
	}
}

// TestLearnerAmongTheServersIsPassedOver has a member that refuses whatever
// watchers and registrars ask for.
func TestLearnerAmongTheServersIsPassedOver(t *testing.T) {
	c := startCluster(t, 1)
	db, voter := raw(t, c.addrs()), c.members[0]
	learner := &member{name: "learner", client: freeAddr(t), peer: freeAddr(t), dir: filepath.Join(t.TempDir(), "data")}
	if _, err := db.MemberAddAsLearner(t.Context(), []string{"http://" + learner.peer}); err != nil {
		t.Fatal(err)
	}
	learner.flags = []string{
		voter.flags[0], "--name", learner.name, "--data-dir", learner.dir, "--log-level", "error", "--unsafe-no-fsync",
		"--listen-client-urls", "http://" + learner.client, "--advertise-client-urls", "http://" + learner.client,
		"--listen-peer-urls", "http://" + learner.peer, "--initial-advertise-peer-urls", "http://" + learner.peer,
		"--initial-cluster", "m0=http://" + voter.peer + ",learner=http://" + learner.peer, "--initial-cluster-state", "existing",
	}
	c.members = append(c.members, learner) // to be ended with the others
	c.start(learner)
	awaitLearner(t, c, learner.client)

	register(t, etcd.Registrar(c.addrs(), "/x/", etcd.TTL(2*time.Second)))
	f := discoverytest.Follow(t, etcd.Watcher(c.addrs(), "/x/"))
	f.Await(addr)
	version := kv(t, db, "/x/"+addr).Version
	awaitRenewals(t, 10, c.addrs()...)
	if now := kv(t, db, "/x/"+addr).Version; now != version {
		t.Errorf("the key was put %d times more", now-version)
	}
	if n := f.Count(); n != 1 {
		t.Errorf("%d reports, want 1", n)
	}
}

// awaitLearner waits until the learner refuses what a learner does.
func awaitLearner(t *testing.T, c *cluster, addr string) {
	t.Helper()
	db := raw(t, []string{addr})
	for late := time.After(timeout); ; {
		_, err := db.Get(t.Context(), "x")
		if err != nil && strings.Contains(err.Error(), "not supported for learner") {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-late:
			t.Fatalf("no learner after %v: %v\n%s", timeout, err, c.members[1].log.String())
		}
	}
}

// TestTokenThatCannotBeProlongedIsRenewed has tokens that end a second after the
// login, whatever they are used for, and which etcd 3.7 demands for each renewal
// of a lease.
func TestTokenThatCannotBeProlongedIsRenewed(t *testing.T) {
	private, public := rsaKey(t)
	c := startCluster(t, 1, "--auth-token", fmt.Sprintf("jwt,pub-key=%s,priv-key=%s,sign-method=RS256,ttl=1s", public, private), "--bcrypt-cost", "4")
	auth(t, c)
	user := etcd.WithCredentials(discovery.NewSecret("writer:secret"))
	register(t, etcd.Registrar(c.addrs(), "/x/", user, etcd.TTL(4*time.Second), etcd.Timeout(time.Second)))
	f := discoverytest.Follow(t, etcd.Watcher(c.addrs(), "/x/", user, etcd.Timeout(time.Second)))
	f.Await(addr)
	// etcd's own client cannot replace a token of etcd 3.4 that has ended.
	version := kv(t, asRoot(t, c), "/x/"+addr).Version
	awaitRenewals(t, 10, c.addrs()...)
	if now := kv(t, asRoot(t, c), "/x/"+addr).Version; now != version {
		t.Errorf("the key was put %d times more", now-version)
	}
	if n := f.Count(); n != 1 {
		t.Errorf("%d reports, want 1", n)
	}
	// A new watch needs a new token, and the stream of the others has an old one.
	discoverytest.Follow(t, etcd.Watcher(c.addrs(), "/x/", user, etcd.Timeout(time.Second))).Await(addr)
	put(t, asRoot(t, c), "/x/b", entry("10.0.0.2:80"))
	f.Await(addr, "10.0.0.2:80")
}

// rsaKey returns the files of a key, which etcd signs its tokens with.
func rsaKey(t *testing.T) (private, public string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	publicDER, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	private, public = filepath.Join(dir, "private.pem"), filepath.Join(dir, "public.pem")
	for path, block := range map[string]*pem.Block{
		private: {Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)},
		public:  {Type: "PUBLIC KEY", Bytes: publicDER},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return private, public
}

// TestValueThatIsTooLargeIsReportedAtOnce has a server that takes less than an
// endpoint may have.
func TestValueThatIsTooLargeIsReportedAtOnce(t *testing.T) {
	c := startCluster(t, 1, "--max-request-bytes", "10000")
	start := time.Now()
	e := discovery.Endpoint{Addr: addr, Attrs: map[string]string{"much": strings.Repeat("x", 20_000)}}
	g, err := discovery.Register(etcd.Registrar(c.addrs(), newPrefix()), e)
	if err != nil {
		t.Fatal(err)
	}
	err = awaitState(t, g, discovery.StateLost)
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("reported after %v", d)
	}
	if !strings.Contains(err.Error(), "too large") {
		t.Errorf("error %v", err)
	}
	_ = g.Close(t.Context())
}
