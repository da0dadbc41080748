package discovery_test

import (
	"crypto/tls"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// tlsBackend keeps what the URL said.
type tlsBackend struct{ discovery.TLS }

func (b *tlsBackend) Watcher(*discovery.URL) (discovery.Watcher, error) { return nil, b.Validate() }

func openTLS(url string) (discovery.TLS, error) {
	var mux discovery.Mux
	b := &tlsBackend{}
	mux.Handle("t", func(p *discovery.Params) discovery.Backend {
		p.TLS(&b.TLS)
		return b
	})
	_, err := mux.Open(url)
	return b.TLS, err
}

func TestContradictoryTLSParametersAreAnError(t *testing.T) {
	for url, good := range map[string]bool{
		"t://h":                                     true,
		"t://h?tls=true":                            true,
		"t://h?tls=true&tls_cert=a&tls_key=b":       true,
		"t://h?tls=true&tls_cert=a":                 false,
		"t://h?tls=true&tls_key=a":                  false,
		"t://h?tls_ca=a":                            false,
		"t://h?tls=false&tls_server_name=a.example": false,
	} {
		if _, err := openTLS(url); (err == nil) != good {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestTLSTrustsTheCertificatesInItsFile(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	for url, good := range map[string]bool{
		"t://h?tls=true&tls_server_name=example.com&tls_ca=" + ca:   true,
		"t://h?tls=true&tls_server_name=example.com":                false,
		"t://h?tls=true&tls_server_name=other.example&tls_ca=" + ca: false,
	} {
		files, err := openTLS(url)
		if err != nil {
			t.Fatal(err)
		}
		config, err := files.Load()
		if err != nil {
			t.Fatal(err)
		}
		conn, err := tls.Dial("tcp", server.Listener.Addr().String(), config)
		if (err == nil) != good {
			t.Errorf("%s: %v", url, err)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
}

func TestTLSWithoutItsFilesIsAnError(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, files := range []discovery.TLS{
		{Enabled: true, CA: "/no/such/file"},
		{Enabled: true, CA: empty},
		{Enabled: true, Cert: empty, Key: empty},
	} {
		if c, err := files.Load(); err == nil {
			t.Errorf("%+v gave %v", files, c)
		}
	}
	if c, err := (discovery.TLS{}).Load(); c != nil || err != nil {
		t.Errorf("no TLS gave %v, %v", c, err)
	}
}

func TestTLSConfigReplacesTheFiles(t *testing.T) {
	own := &tls.Config{ServerName: "own.example", MinVersion: tls.VersionTLS13}
	set := discovery.TLS{Enabled: true, Config: own}
	c, err := set.Load()
	if err != nil || c.ServerName != "own.example" || c.MinVersion != tls.VersionTLS13 {
		t.Errorf("got %+v, %v", c, err)
	}
	if c == own {
		t.Error("the caller got the program's own configuration to modify")
	}
	if err := set.Validate(); err != nil {
		t.Error(err)
	}
	for _, bad := range []discovery.TLS{
		{Config: own},
		{Enabled: true, Config: own, CA: "ca.pem"},
		{Enabled: true, Config: own, ServerName: "other.example"},
	} {
		if err := bad.Validate(); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}
