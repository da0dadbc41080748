package consul_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/consul"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
)

// certificates makes an authority and a certificate for 127.0.0.1, which a
// server and a client may use, and returns their files.
func certificates(t *testing.T) (ca, cert, key string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		must(os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return path
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, authority, authority, &caKey.PublicKey, caKey)
	must(err)
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, authority, &leafKey.PublicKey, caKey)
	must(err)
	keyDER, err := x509.MarshalECPrivateKey(leafKey)
	must(err)
	return write("ca.pem", "CERTIFICATE", caDER), write("cert.pem", "CERTIFICATE", leafDER), write("key.pem", "EC PRIVATE KEY", keyDER)
}

func TestServersAndClientsKnowEachOtherByTheirCertificates(t *testing.T) {
	ca, cert, key := certificates(t)
	stranger, _, _ := certificates(t)
	port := freePorts(t, 1)[0]
	c := startConsul(t, "-dev", "-hcl=ports { https = "+port+" }, verify_incoming = true",
		fmt.Sprintf("-hcl=ca_file = %q, cert_file = %q, key_file = %q", ca, cert, key))
	c.ready()
	instance(t, raw(t, c.addr), "echo", "10.0.0.1", api.HealthPassing)
	addr := "127.0.0.1:" + port
	known := discovery.TLS{On: true, CA: ca, Cert: cert, Key: key}
	discoverytest.Follow(t, consul.Watcher(addr, "echo", consul.TLS(known))).Await("10.0.0.1:80")

	begun := make(map[string]*discoverytest.Follower)
	for what, how := range map[string]discovery.TLS{
		"certificate signed by unknown authority": {On: true, CA: stranger, Cert: cert, Key: key},
		addr:                 {On: true, CA: ca}, // which TLS may tell as a broken pipe
		"to match elsewhere": {On: true, CA: ca, Cert: cert, Key: key, ServerName: "elsewhere"},
	} { // side by side, since each takes a while
		begun[what] = discoverytest.Follow(t, consul.Watcher(addr, "echo", consul.TLS(how)))
	}
	for what, f := range begun {
		if err := f.Fails(); !strings.Contains(err.Error(), what) {
			t.Errorf("error %v, want %q", err, what)
		}
	}
}

func TestAgentIsReachedThroughItsSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s") // short, as paths of sockets have to be
	c := startConsul(t, "-dev", fmt.Sprintf("-hcl=addresses { http = \"127.0.0.1 unix://%s\" }", path))
	c.ready()
	f := discoverytest.Follow(t, consul.Watcher("unix:"+path, "echo"))
	f.Await()
	register(t, consul.Registrar("unix:"+path, "echo"))
	f.Await(addr)
}
