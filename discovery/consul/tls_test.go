package consul_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/consul"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/plugintest"
)

func TestServersAndClientsKnowEachOtherByTheirCertificates(t *testing.T) {
	ca, cert, key := plugintest.Certificates(t)
	stranger, _, _ := plugintest.Certificates(t)
	port := freePorts(t, 1)[0]
	c := startConsul(t, "-dev", "-hcl=ports { https = "+port+" }, verify_incoming = true",
		fmt.Sprintf("-hcl=ca_file = %q, cert_file = %q, key_file = %q", ca, cert, key))
	c.ready()
	instance(t, raw(t, c.addr), "echo", "10.0.0.1", api.HealthPassing)
	addr := "127.0.0.1:" + port
	known := discovery.TLS{CA: ca, Cert: cert, Key: key}
	discoverytest.Follow(t, consul.Watcher([]string{addr}, "echo", consul.WithTLS(known))).Await("10.0.0.1:80")

	followers := make(map[string]*discoverytest.Follower)
	for what, how := range map[string]discovery.TLS{
		"certificate signed by unknown authority": {CA: stranger, Cert: cert, Key: key},
		addr:                 {CA: ca}, // TLS may report it as a broken pipe
		"to match elsewhere": {CA: ca, Cert: cert, Key: key, ServerName: "elsewhere"},
	} { // side by side, since each takes a while
		followers[what] = discoverytest.Follow(t, consul.Watcher([]string{addr}, "echo", consul.WithTLS(how)))
	}
	for what, f := range followers {
		if err := f.Fails(); !strings.Contains(err.Error(), what) {
			t.Errorf("error %v, want %q", err, what)
		}
	}
}

func TestAgentIsReachedThroughItsSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s") // short, as paths of sockets have to be
	c := startConsul(t, "-dev", fmt.Sprintf("-hcl=addresses { http = \"127.0.0.1 unix://%s\" }", path))
	c.ready()
	f := discoverytest.Follow(t, consul.Watcher([]string{"unix:" + path}, "echo"))
	f.Await()
	register(t, consul.Registrar([]string{"unix:" + path}, "echo"))
	f.Await(addr)
}
