package etcd

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

func mux() *discovery.Mux {
	var m discovery.Mux
	m.Handle("etcd", Opener)
	return &m
}

// opened returns the configurations that a URL gives a watcher and a
// registrar.
func opened(t *testing.T, url string) (w, r config) {
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

func TestURLNamesServersAndPrefix(t *testing.T) {
	for url, want := range map[string]struct {
		endpoints []string
		prefix    string
	}{
		"etcd://h1:1,h2/services/echo/":    {[]string{"h1:1", "h2:2379"}, "/services/echo/"},
		"etcd://[::1]:1,[::2]/echo":        {[]string{"[::1]:1", "[::2]:2379"}, "/echo/"},
		"etcd://h?prefix=kitex/echo":       {[]string{"h:2379"}, "kitex/echo/"},
		"etcd://h/?prefix=kitex/echo/":     {[]string{"h:2379"}, "kitex/echo/"},
		"etcd://unix:%2Frun%2Fe.sock/echo": {[]string{"unix:/run/e.sock"}, "/echo/"},
	} {
		w, r := opened(t, url)
		for _, c := range []config{w, r} {
			if !slices.Equal(c.endpoints, want.endpoints) || c.prefix != want.prefix {
				t.Errorf("%s: %q %q, want %q", url, c.endpoints, c.prefix, want)
			}
		}
	}
}

func TestEveryOptionIsAParameter(t *testing.T) {
	t.Setenv("PASSWORD", "p")
	w, r := opened(t, "etcd://h/x?format=kratos:http&user=u&password=env:PASSWORD&timeout=3s&ttl=7s"+
		"&tls=true&tls_ca=a&tls_cert=b&tls_key=c&tls_server_name=d")
	for _, c := range []config{w, r} {
		password, err := c.password.Value()
		if c.format.Name != "kratos:http" || c.user != "u" || password != "p" || err != nil ||
			c.timeout != 3*time.Second || c.ttl != 7*time.Second ||
			c.tls != (discovery.TLS{On: true, CA: "a", Cert: "b", Key: "c", ServerName: "d"}) {
			t.Errorf("got %+v, password %q (%v)", c, password, err)
		}
	}
	w, _ = opened(t, "etcd://u:env:PASSWORD@h/x")
	if password, _ := w.password.Value(); w.user != "u" || password != "p" {
		t.Errorf("got user %q, password %q", w.user, password)
	}
	w, _ = opened(t, "etcd://h/x")
	if w.format.Name != defaultFormat || w.timeout != defaultTimeout || w.ttl != defaultTTL || w.user != "" || w.tls.On {
		t.Errorf("without parameters: %+v", w)
	}
}

func TestEachOptionIsRead(t *testing.T) {
	var told string
	c := newConfig([]string{"h:1"}, "/x", []Option{
		Format(format.Name()), User("u", discovery.NewSecret("p")), TLS(discovery.TLS{On: true}),
		Timeout(time.Second), TTL(time.Minute), Skipped(func(key string, _ error) { told = key }),
	})
	c.skipped("k", nil)
	if c.format.Name != format.Name().Name || c.user != "u" || !c.password.IsSet() || !c.tls.On ||
		c.timeout != time.Second || c.ttl != time.Minute || told != "k" || c.prefix != "/x/" {
		t.Errorf("got %+v", c)
	}
	if err := c.validate(); err != nil {
		t.Error(err)
	}
}

func TestMistakesAreToldWithoutAskingAnybody(t *testing.T) {
	for url, want := range map[string]string{
		"etcd://h":                        "no prefix",
		"etcd:///x":                       "no server",
		"etcd://h/x?ttl=1500ms":           "ttl",
		"etcd://h/x?ttl=2500ms":           "whole seconds",
		"etcd://h/x?user=u":               `the user "u" without a password`,
		"etcd://h/x?password=secret":      "a password without a user",
		"etcd://u:p@h/x?user=u":           "both",
		"etcd://h/x?prefix=y":             "both",
		"etcd://h/x?tls_ca=a":             "tls=true",
		"etcd://h/x?dial_timeout=3s":      "known are prefix, format, user, password, timeout, ttl, tls",
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
	err := Watcher([]string{"http://u:secret@h:1", "h", ":1"}, "").(*watcher).Validate()
	for _, part := range []string{"server 1 of 3", "server 2 of 3", "server 3 of 3", "no prefix"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v, want one with %q", err, part)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the error shows a password: %v", err)
	}
	if err := Registrar(nil, "/x").(*registrar).Validate(); err == nil {
		t.Error("a registrar without a server is valid")
	}
	if err := Watcher(nil, "/x").Watch(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "no server") {
		t.Errorf("Watch returned %v", err)
	}
}
