package etcd

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/plugintest"
)

func mux() *discovery.Mux {
	var m discovery.Mux
	m.Handle("etcd", Opener)
	return &m
}

// opened returns the configurations that a URL gives a watcher and a
// registrar.
func opened(t *testing.T, url string) (w, r *config) {
	t.Helper()
	watched, err := mux().Open(url)
	if err != nil {
		t.Fatal(err)
	}
	registered, err := mux().OpenRegistrar(url)
	if err != nil {
		t.Fatal(err)
	}
	return watched.(*watcher).config, registered.(*registrar).config
}

func TestOptionsAndParametersAreThoseOfTheTable(t *testing.T) { plugintest.CheckOptions(t, Opener) }

func TestCredentialsCrossANetworkInPlainTextOnlyIfAllowed(t *testing.T) {
	plugintest.CheckPlaintext(t, Opener)
}

func TestSecretOrCertificateThatIsNotThereIsAnErrorAtOnce(t *testing.T) {
	plugintest.CheckMissingFiles(t, Opener)
}

func TestURLNamesServersAndPrefix(t *testing.T) {
	for url, want := range map[string]struct {
		servers []string
		prefix  string
	}{
		"etcd://h1:1,h2/services/echo/":    {[]string{"h1:1", "h2:2379"}, "/services/echo/"},
		"etcd://[::1]:1,[::2]/echo":        {[]string{"[::1]:1", "[::2]:2379"}, "/echo/"},
		"etcd://h?prefix=kitex/echo":       {[]string{"h:2379"}, "kitex/echo/"},
		"etcd://h/?prefix=kitex/echo/":     {[]string{"h:2379"}, "kitex/echo/"},
		"etcd://unix:%2Frun%2Fe.sock/echo": {[]string{"unix:/run/e.sock"}, "/echo/"},
	} {
		w, r := opened(t, url)
		for _, c := range []*config{w, r} {
			if !slices.Equal(c.servers, want.servers) || c.prefix != want.prefix {
				t.Errorf("%s: %q %q, want %q", url, c.servers, c.prefix, want)
			}
		}
	}
}

func TestEachParameterIsRead(t *testing.T) {
	ca, cert, key := plugintest.Certificates(t)
	t.Setenv("CREDENTIALS", "u:p")
	w, r := opened(t, "etcd://h/x?format=kratos:http&credentials=env:CREDENTIALS&timeout=3s&ttl=7s"+
		"&tls=true&tls_ca="+ca+"&tls_cert="+cert+"&tls_key="+key+"&tls_server_name=d")
	for _, c := range []*config{w, r} {
		user, password, err := c.credentials.SplitUserPassword()
		if c.format.Name != "kratos:http" || user != "u" || password != "p" || err != nil ||
			c.timeout != 3*time.Second || c.ttl != 7*time.Second ||
			c.tls != (discovery.TLS{Enabled: true, CA: ca, Cert: cert, Key: key, ServerName: "d"}) {
			t.Errorf("got %+v, user %q, password %q (%v)", c, user, password, err)
		}
	}
	t.Setenv("PASSWORD", "p")
	w, _ = opened(t, "etcd://u:env:PASSWORD@h/x?allow_plaintext_credentials=true")
	if user, password, _ := w.credentials.SplitUserPassword(); user != "u" || password != "p" {
		t.Errorf("got user %q, password %q", user, password)
	}
	w, _ = opened(t, "etcd://h/x")
	if w.format.Name != "naming" || w.timeout != 5*time.Second || w.ttl != 10*time.Second || w.credentials.IsSet() || w.tls.Enabled {
		t.Errorf("without parameters: %+v", w)
	}
}

func TestEachOptionIsRead(t *testing.T) {
	ca, _, _ := plugintest.Certificates(t)
	var skipped string
	c := newConfig([]string{"h"}, "/x", []Option{
		WithFormat(format.PlainKey()), WithCredentials(discovery.NewSecret("u:p")), WithTLS(discovery.TLS{CA: ca}),
		AllowPlaintextCredentials(), Timeout(time.Second), TTL(time.Minute), OnSkipped(func(key string, _ error) { skipped = key }),
	})
	c.onSkipped("k", nil)
	if c.format.Name != format.PlainKey().Name || !c.credentials.IsSet() || c.tls != (discovery.TLS{Enabled: true, CA: ca}) || !c.plaintext ||
		c.timeout != time.Second || c.ttl != time.Minute || skipped != "k" || c.prefix != "/x/" || c.servers[0] != "h:2379" {
		t.Errorf("got %+v", c)
	}
	if err := c.validate(); err != nil {
		t.Error(err)
	}
}

func TestMistakesAreReportedWithoutIO(t *testing.T) {
	for url, want := range map[string]string{
		"etcd://h":                        "the prefix is empty",
		"etcd:///x":                       "no server",
		"etcd://h/x?ttl=1500ms":           "ttl",
		"etcd://h/x?ttl=2500ms":           "whole seconds",
		"etcd://u@h/x":                    `the user "u" has no password`,
		"etcd://:secret@h/x":              "a password without a user",
		"etcd://u:p@h/x?credentials=u:p":  "twice",
		"etcd://h/x?prefix=y":             "twice",
		"etcd://h/x?tls_ca=a":             "tls=true",
		"etcd://h/x?dial_timeout=3s":      "known are format, credentials, tls, tls_ca, tls_cert, tls_key, tls_server_name, allow_plaintext_credentials, allow, deny, timeout, ttl, prefix",
		"etcd://h/x?format=xml":           "format",
		"etcd://u:secret@h/x?timeout=1ms": "timeout",
	} {
		_, err := mux().Open(url)
		_, err2 := mux().OpenRegistrar(url)
		if err == nil || err2 == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: errors %v and %v, want %q", url, err, err2, want)
			continue
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error shows the password: %v", url, err)
		}
	}
	for _, v := range []any{
		Watcher([]string{"http://u:secret@h:1", "h:x", ":1"}, "", TTL(time.Millisecond), WithCredentials(discovery.UserPassword("u", discovery.Secret{}))),
		Registrar([]string{"http://u:secret@h:1", "h:x", ":1"}, "", TTL(time.Millisecond), WithCredentials(discovery.UserPassword("u", discovery.Secret{}))),
	} {
		err := v.(interface{ Validate() error }).Validate()
		for _, part := range []string{"server 1 of 3", "server 2 of 3", "server 3 of 3", "the prefix is empty", "ttl: ", "no password"} {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("error %v, want one with %q", err, part)
			}
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows a password: %v", err)
		}
	}
	if err := Watcher(nil, "/x").Watch(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "no server") {
		t.Errorf("Watch returned %v", err)
	}
	if err := Watcher([]string{"127.0.0.1"}, "/x", WithCredentials(discovery.NewSecret("secret"))).Watch(t.Context(), nil); err == nil ||
		!strings.Contains(err.Error(), "not user:password") || strings.Contains(err.Error(), "secret") {
		t.Errorf("Watch returned %v", err)
	}
}

func TestWatcherNeedsDecodeAndRegistrarNeedsEncode(t *testing.T) {
	readOnly := WithFormat(format.Format{Name: "mine", Decode: format.PlainKey().Decode})
	writeOnly := WithFormat(format.Format{Name: "mine", Encode: format.PlainKey().Encode})
	for what, c := range map[string]struct {
		v    any
		good bool
	}{
		"a watcher that can read":       {Watcher([]string{"h"}, "/x", readOnly), true},
		"a watcher that cannot read":    {Watcher([]string{"h"}, "/x", writeOnly), false},
		"a registrar that can write":    {Registrar([]string{"h"}, "/x", writeOnly), true},
		"a registrar that cannot write": {Registrar([]string{"h"}, "/x", readOnly), false},
	} {
		if err := c.v.(interface{ Validate() error }).Validate(); (err == nil) != c.good {
			t.Errorf("%s: %v", what, err)
		}
	}
}
