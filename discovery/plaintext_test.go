package discovery_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

func TestCredentialsCrossANetworkInPlainTextOnlyIfAllowed(t *testing.T) {
	own := []string{"127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "localhost:1", "LocalHost:1", "127.0.0.1", "[::1]", "unix:/run/s"}
	if err := discovery.CheckPlaintext(own, discovery.TLS{}, false); err != nil {
		t.Errorf("servers of the own host: %v", err)
	}
	if err := discovery.CheckPlaintext(nil, discovery.TLS{}, false); err != nil {
		t.Errorf("no server: %v", err)
	}
	for _, other := range []string{
		"10.0.0.1:1", "128.0.0.1:1", "[fe80::1]:1", "[::]:1", "0.0.0.0:1", "registry:1", "registry", "localhost.test:1", "127.0.0.1.test:1",
		"notlocalhost:1", "user:s3cr3t@127.0.0.1:1", "http://127.0.0.1:1",
	} {
		servers := slices.Concat(own[:2], []string{other})
		err := discovery.CheckPlaintext(servers, discovery.TLS{}, false)
		if err == nil {
			t.Errorf("%s: no error", other)
			continue
		}
		for _, part := range []string{"server 3 of 3", "tls=true", "allow_plaintext_credentials=true"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v, without %q", other, err, part)
			}
		}
		if strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("the error shows a password: %v", err)
		}
		if err := discovery.CheckPlaintext(servers, discovery.TLS{Enabled: true}, false); err != nil {
			t.Errorf("%s with TLS: %v", other, err)
		}
		if err := discovery.CheckPlaintext(servers, discovery.TLS{}, true); err != nil {
			t.Errorf("%s, which is allowed: %v", other, err)
		}
	}
}
