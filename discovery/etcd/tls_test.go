package etcd_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/etcd"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/plugintest"
)

func TestServersAndClientsKnowEachOtherByTheirCertificates(t *testing.T) {
	ca, cert, key := plugintest.Certificates(t)
	stranger, _, _ := plugintest.Certificates(t)
	c := startCluster(t, 1, "--cert-file", cert, "--key-file", key, "--trusted-ca-file", ca, "--client-cert-auth")
	known := discovery.TLS{CA: ca, Cert: cert, Key: key}
	discoverytest.Follow(t, etcd.Watcher(c.addrs(), "/x/", etcd.WithTLS(known))).Await()

	others := map[string]discovery.TLS{
		"certificate signed by unknown authority": {CA: stranger, Cert: cert, Key: key},
		"remote error: tls: ":                     {CA: ca}, // "certificate required" or "bad certificate"
		"to match elsewhere":                      {CA: ca, Cert: cert, Key: key, ServerName: "elsewhere"},
	}
	followers := make(map[string]*discoverytest.Follower)
	for what, how := range others { // side by side, since each takes a while
		followers[what] = discoverytest.Follow(t, etcd.Watcher(c.addrs(), "/x/", etcd.WithTLS(how)))
	}
	for what, f := range followers {
		if err := f.Fails(); !strings.Contains(err.Error(), what) {
			t.Errorf("error %v, want %q", err, what)
		}
	}
	missing := discovery.TLS{CA: filepath.Join(t.TempDir(), "ca.pem")}
	if err := discoverytest.Follow(t, etcd.Watcher(c.addrs(), "/x/", etcd.WithTLS(missing))).Fails(); !strings.Contains(err.Error(), "no such file") {
		t.Errorf("error %v", err)
	}
}

// TestRenewedCertificatesAreUsedAtTheNextConnection has a watch and a
// registration share a client, which therefore lives on while each of them
// fails in turn.
func TestRenewedCertificatesAreUsedAtTheNextConnection(t *testing.T) {
	ca, cert, key := plugintest.Certificates(t)
	c := startCluster(t, 1, "--cert-file", cert, "--key-file", key, "--trusted-ca-file", ca, "--client-cert-auth")
	secure := etcd.WithTLS(discovery.TLS{CA: ca, Cert: cert, Key: key})
	register(t, etcd.Registrar(c.addrs(), "/x/", secure))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sizes := make(chan int, 100)
	followed := make(chan struct{})
	go func() { // ends with ctx
		defer close(followed)
		discovery.Follow(ctx, etcd.Watcher(c.addrs(), "/x/", secure), discovery.Follower{Changed: func(c discovery.Change) { sizes <- len(c.Set) }})
	}()
	defer func() { cancel(); <-followed }()
	await := func(n int) {
		t.Helper()
		for late := time.After(timeout); ; {
			select {
			case is := <-sizes:
				if is == n {
					return
				}
			case <-late:
				t.Fatalf("no set of %d", n)
			}
		}
	}
	await(1)

	m := c.members[0]
	m.kill()
	c.wipe(m)
	renewedCA, renewedCert, renewedKey := plugintest.Certificates(t)
	for from, to := range map[string]string{renewedCA: ca, renewedCert: cert, renewedKey: key} {
		content, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	c.start(m)
	another := etcd.Timeout(3 * time.Second) // for a client of its own
	g, err := discovery.Register(etcd.Registrar(c.addrs(), "/x/", secure, another), discovery.Endpoint{Addr: "10.0.0.2:80"})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close(context.Background())
	_ = awaitState(t, g, discovery.StateRegistered)
	start := time.Now()
	await(2) // both the watch and the first registration are back
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("back %v after etcd was", d)
	}
}
