package consul

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/plugintest"
)

func mux() *discovery.Mux {
	var m discovery.Mux
	m.Handle("consul", Opener)
	return &m
}

func TestOptionsAndParametersAreThoseOfTheTable(t *testing.T) { plugintest.CheckOptions(t, Opener) }

// withoutToken takes the token out of the environment, where a test of a real Consul
// has it.
func withoutToken(t *testing.T) {
	t.Helper()
	t.Setenv("CONSUL_HTTP_TOKEN", "")
	t.Setenv("CONSUL_HTTP_TOKEN_FILE", "")
}

func TestCredentialsCrossANetworkInPlainTextOnlyIfAllowed(t *testing.T) {
	withoutToken(t)
	plugintest.CheckPlaintext(t, Opener)
}

func TestSecretOrCertificateThatIsNotThereIsAnErrorAtOnce(t *testing.T) {
	plugintest.CheckMissingFiles(t, Opener)
}

func TestURLNamesAgentsAndService(t *testing.T) {
	withoutToken(t)
	for url, want := range map[string][]string{
		"consul://127.0.0.1:8501/echo":         {"127.0.0.1:8501"},
		"consul://[::1],h2/echo/":              {"[::1]:8500", "h2:8500"},
		"consul://unix:%2Frun%2Fc.sock/echo":   {"unix:/run/c.sock"},
		"consul://localhost/echo?tag=a&tag=b":  {"localhost:8500"},
		"consul://localhost/echo?passing=true": {"localhost:8500"},
	} {
		w, err := mux().Open(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if c := w.(*watcher).config; !slices.Equal(c.agents, want) || c.service != "echo" {
			t.Errorf("%s: agents %q, service %q", url, c.agents, c.service)
		}
	}
}

func TestURLNamesAPrefixOfKeys(t *testing.T) {
	withoutToken(t)
	for url, want := range map[string]string{
		"consul://h/?prefix=rpcx_test/Arith&format=rpcx":    "rpcx_test/Arith/",
		"consul://h?prefix=/rpcx_test/Arith/&format=rpcx":   "rpcx_test/Arith/",
		"consul://h?prefix=a&format=rpcx:quic&datacenter=d": "a/",
	} {
		w, err := mux().Open(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if c := w.(*watcher).config; c.prefix != want || c.service != "" || !strings.HasPrefix(c.format.Name, "rpcx") {
			t.Errorf("%s: prefix %q, service %q, format %s", url, c.prefix, c.service, c.format.Name)
		}
		if text := w.(*watcher).String(); text != "consul "+want+" at h:8500" {
			t.Errorf("%s is %q", url, text)
		}
	}
}

func TestURLWithAPrefixIsOfARegistrarOfKeys(t *testing.T) {
	withoutToken(t)
	r, err := mux().OpenRegistrar("consul://h1,h2/?prefix=/rpcx_test/Arith&format=rpcx&ttl=20s&wait=2m&namespace=n")
	if err != nil {
		t.Fatal(err)
	}
	k, ok := r.(*keyRegistrar)
	if !ok || k.prefix != "rpcx_test/Arith/" || k.format.Name != "rpcx" || k.ttl != 20*time.Second || k.wait != 2*time.Minute || k.namespace != "n" ||
		!slices.Equal(k.agents, []string{"h1:8500", "h2:8500"}) {
		t.Errorf("it is %T %+v", r, r)
	}
}

func TestEachParameterIsRead(t *testing.T) {
	ca, cert, key := plugintest.Certificates(t)
	t.Setenv("TOKEN", "t")
	common := "consul://h/x?format=kratos:grpc&tag=a&tag=b&namespace=n&credentials=env:TOKEN&timeout=3s&wait=2m&ttl=7s&deregister_after=5m&passing=true" +
		"&tls=true&tls_ca=" + ca + "&tls_cert=" + cert + "&tls_key=" + key + "&tls_server_name=d"
	w, err := mux().Open(common + "&datacenter=east&address=wan")
	if err != nil {
		t.Fatal(err)
	}
	r, err := mux().OpenRegistrar(common)
	if err != nil {
		t.Fatal(err)
	}
	watched := w.(*watcher).config
	if watched.datacenter != "east" || watched.address != "wan" || !watched.passing {
		t.Errorf("got %+v", watched)
	}
	for _, c := range []*config{watched, r.(*registrar).config} {
		token, err := c.credentials.Value()
		if c.format.Name != "consul:kratos:grpc" || !slices.Equal(c.tags, []string{"a", "b"}) || c.namespace != "n" || token != "t" || err != nil ||
			c.timeout != 3*time.Second || c.wait != 2*time.Minute || c.ttl != 7*time.Second || c.deregisterAfter != 5*time.Minute ||
			c.tls != (discovery.TLS{Enabled: true, CA: ca, Cert: cert, Key: key, ServerName: "d"}) {
			t.Errorf("got %+v, token %q (%v)", c, token, err)
		}
	}
}

func TestEachOptionIsRead(t *testing.T) {
	ca, _, _ := plugintest.Certificates(t)
	var skipped string
	c := newConfig([]string{"h"}, "x", []Option{
		WithFormat(format.Consul("kitex")), WithTag("a"), WithTag("b"), WithDatacenter("d"), WithAddress("lan"), WithNamespace("n"), WithPrefix("/p"), Passing(), WithCredentials(discovery.NewSecret("t")),
		WithTLS(discovery.TLS{CA: ca}), AllowPlaintextCredentials(), Timeout(time.Second), Wait(2 * time.Second), TTL(3 * time.Second), DeregisterAfter(time.Hour),
		OnSkipped(func(key string, _ error) { skipped = key }),
	})
	c.onSkipped("k", nil)
	if c.format.Name != "consul:kitex" || !slices.Equal(c.tags, []string{"a", "b"}) || c.datacenter != "d" || c.address != "lan" || c.namespace != "n" || c.prefix != "p/" || !c.passing || !c.credentials.IsSet() ||
		c.tls != (discovery.TLS{Enabled: true, CA: ca}) || !c.plaintext || c.timeout != time.Second || c.wait != 2*time.Second ||
		c.ttl != 3*time.Second || c.deregisterAfter != time.Hour || skipped != "k" || c.agents[0] != "h:8500" {
		t.Errorf("got %+v", c)
	}
	c.prefix = "" // instead of a service
	if err := c.validate(); err != nil {
		t.Error(err)
	}
}

func TestTokenIsTheEnvironmentsWithoutCredentials(t *testing.T) {
	t.Setenv("CONSUL_HTTP_TOKEN", "from the environment")
	t.Setenv("CONSUL_HTTP_TOKEN_FILE", "")
	for want, opts := range map[string][]Option{
		"from the environment": nil,
		"from the option":      {WithCredentials(discovery.NewSecret("from the option"))},
	} {
		if got, err := tokenOf(newConfig([]string{"127.0.0.1"}, "x", opts)); got != want || err != nil {
			t.Errorf("got %q (%v), want %q", got, err, want)
		}
	}
}

func TestTokenOfTheEnvironmentCrossesANetworkInPlainTextOnlyIfAllowed(t *testing.T) {
	withoutToken(t)
	w := Watcher([]string{"127.0.0.1", "10.0.0.1"}, "x")
	if err := w.(*watcher).Validate(); err != nil {
		t.Errorf("without a token: %v", err)
	}
	t.Setenv("CONSUL_HTTP_TOKEN", "s3cr3t")
	if err := w.Watch(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "server 2 of 2 in plain text") {
		t.Errorf("Watch returned %v", err)
	}
	if _, err := newOwnClient(w.(*watcher).config, "10.0.0.1:8500"); err == nil {
		t.Error("a client whose token goes anywhere")
	}
	for _, o := range []Option{AllowPlaintextCredentials(), WithTLS(discovery.TLS{})} {
		if err := Watcher([]string{"10.0.0.1"}, "x", o).(*watcher).Validate(); err != nil {
			t.Error(err)
		}
	}
}

func TestMistakesAreReportedWithoutIO(t *testing.T) {
	for url, want := range map[string]string{
		"consul://h":                                   "the service is empty",
		"consul:///x":                                  "no server is listed",
		"consul://h/a/b":                               "slash",
		"consul://u:secret@h/x":                        "credentials",
		"consul://h/x?tag=":                            "tag",
		"consul://h/x?format=curator":                  `the format "curator" is none of Consul's instances`,
		"consul://h/x?format=nonsense":                 `"nonsense" is not one of consul, kratos, kitex, hertz, micro, goframe, name, value`,
		"consul://h/x?prefix=a/b&format=rpcx":          `both a service, "x", and a prefix, "a/b/"`,
		"consul://h?prefix=a/b":                        `the format "consul" is one of instances`,
		"consul://h?prefix=a&format=kratos":            `the format "consul:kratos" is one of instances`,
		"consul://h?prefix=a&format=consul:x":          "is not one of consul",
		"consul://h?prefix=/&format=rpcx":              "the service is empty",
		"consul://h?prefix=a&format=rpcx&tag=t":        "keys have no tags",
		"consul://h?prefix=a&format=rpcx&passing=true": "keys have no tags",
		"consul://h?prefix=a&format=rpcx&address=wan":  "keys have no tags",
		"consul://h/x?format=kitex:grpc":               "is not one of consul",
		"consul://h/x?format=":                         "is not one of consul",
		"consul://h/x?ttl=1ms":                         "ttl",
		"consul://h/x?ttl=2500ms":                      "whole seconds",
		"consul://h/x?wait=1h":                         "wait",
		"consul://h/x?deregister_after=1s":             "deregister_after",
		"consul://h/x?dc=d": "known are format, credentials, tls, tls_ca, tls_cert, tls_key, tls_server_name, allow_plaintext_credentials, allow, deny, timeout, ttl, deregister_after, wait, " +
			"passing, tag, address, prefix, datacenter, namespace",
		"consul://h/x?tls_ca=a":                         "tls=true",
		"consul://h/x?credentials=secret&credentials=s": "2 times",
	} {
		_, err := mux().Open(url)
		_, err2 := mux().OpenRegistrar(url)
		if err == nil || err2 == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: errors %v and %v, want %q", url, err, err2, want)
			continue
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error shows a secret: %v", url, err)
		}
	}
	for url, want := range map[string]string{
		"consul://h1,h2/x":                             "a registrar has one agent",
		"consul://h/x?datacenter=d":                    "a registrar has no datacenter",
		"consul://h?prefix=a&format=rpcx&datacenter=d": "a registrar has no datacenter",
		"consul://h?prefix=a&format=patroni":           "the format cannot be written",
		"consul://localhost?prefix=a&format=rpcx":      "",
	} {
		_, err := mux().OpenRegistrar(url)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: a registrar with error %v, want %q", url, err, want)
		}
	}
	err := Watcher([]string{"http://u:secret@h:1", "h:x", ":1"}, "", TTL(time.Millisecond), Wait(time.Hour)).(*watcher).Validate()
	for _, part := range []string{"server 1 of 3", "server 2 of 3", "server 3 of 3", "the service is empty", "ttl: ", "wait: "} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v, want one with %q", err, part)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the error shows a password: %v", err)
	}
	if err := Watcher([]string{"h"}, "x", WithFormat(format.Kratos("grpc"))).(*watcher).Validate(); err == nil || !strings.Contains(err.Error(), "none of Consul's") {
		t.Errorf("a format of keys: error %v", err)
	}
	if err := Watcher([]string{"h"}, "", WithPrefix("a"), WithFormat(format.Format{})).(*watcher).Validate(); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("no format: error %v", err)
	}
	if err := Watcher([]string{"h:x"}, "x").Watch(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "server 1 of 1") {
		t.Errorf("Watch returned %v", err)
	}
}

func TestLimiterAllowsABurstAndKeepsTheRateAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limiter{interval: 100 * time.Millisecond, burst: 10}
		took := func(n int) time.Duration {
			begin := time.Now()
			for range n {
				if err := l.wait(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			return time.Since(begin)
		}
		if d := took(11); d != 0 {
			t.Errorf("a burst took %v", d)
		}
		if d := took(100); d != 10*time.Second {
			t.Errorf("100 more took %v, want 10 s", d)
		}
		time.Sleep(time.Minute)
		if d := took(11); d != 0 {
			t.Errorf("a burst after a pause took %v", d)
		}
	})
}
