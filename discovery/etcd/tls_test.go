package etcd_test

import (
	"path/filepath"
	"strings"
	"testing"

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
		c.addrs()[0]:         {CA: ca}, // TLS may report it as a broken pipe
		"to match elsewhere": {CA: ca, Cert: cert, Key: key, ServerName: "elsewhere"},
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
