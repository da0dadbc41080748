package consul

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

func mux() *discovery.Mux {
	var m discovery.Mux
	m.Handle("consul", Opener)
	return &m
}

func TestURLNamesAgentsAndService(t *testing.T) {
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

func TestEveryOptionIsAParameter(t *testing.T) {
	t.Setenv("TOKEN", "t")
	const common = "consul://h/x?tag=a&tag=b&namespace=n&token=env:TOKEN&timeout=3s&wait=2m&ttl=7s&deregister_after=5m" +
		"&tls=true&tls_ca=a&tls_cert=b&tls_key=c&tls_server_name=d"
	w, err := mux().Open(common + "&dc=east&passing=true")
	if err != nil {
		t.Fatal(err)
	}
	r, err := mux().OpenRegistrar(common)
	if err != nil {
		t.Fatal(err)
	}
	watched := w.(*watcher).config
	if watched.datacenter != "east" || !watched.passing {
		t.Errorf("got %+v", watched)
	}
	for _, c := range []config{watched, r.(*registrar).config} {
		token, err := c.token.Value()
		if !slices.Equal(c.tags, []string{"a", "b"}) || c.namespace != "n" || token != "t" || err != nil ||
			c.timeout != 3*time.Second || c.wait != 2*time.Minute || c.ttl != 7*time.Second || c.reap != 5*time.Minute ||
			c.tls != (discovery.TLS{On: true, CA: "a", Cert: "b", Key: "c", ServerName: "d"}) {
			t.Errorf("got %+v, token %q (%v)", c, token, err)
		}
	}
}

func TestEachOptionIsRead(t *testing.T) {
	var told string
	c := newConfig([]string{"h:1"}, "x", []Option{
		Tag("a"), Tag("b"), Datacenter("d"), Namespace("n"), Passing(), Token(discovery.NewSecret("t")), TLS(discovery.TLS{On: true}),
		Timeout(time.Second), Wait(2 * time.Second), TTL(3 * time.Second), DeregisterAfter(time.Hour),
		Skipped(func(key string, _ error) { told = key }),
	})
	c.skipped("k", nil)
	if !slices.Equal(c.tags, []string{"a", "b"}) || c.datacenter != "d" || c.namespace != "n" || !c.passing || !c.token.IsSet() ||
		!c.tls.On || c.timeout != time.Second || c.wait != 2*time.Second || c.ttl != 3*time.Second || c.reap != time.Hour || told != "k" {
		t.Errorf("got %+v", c)
	}
	if err := c.validate(); err != nil {
		t.Error(err)
	}
}

func TestMistakesAreToldWithoutAskingAnybody(t *testing.T) {
	for url, want := range map[string]string{
		"consul://h":                        "no service",
		"consul:///x":                       "no agent",
		"consul://h/a/b":                    "slash",
		"consul://u:secret@h/x":             "token",
		"consul://h/x?tag=":                 "tag",
		"consul://h/x?ttl=1ms":              "ttl",
		"consul://h/x?wait=1h":              "wait",
		"consul://h/x?deregister_after=1s":  "deregister_after",
		"consul://h/x?datacenter=d":         "known are tag, dc, namespace, passing, token, timeout, wait, ttl, deregister_after, tls",
		"consul://h/x?tls_ca=a":             "tls=true",
		"consul://h/x?token=secret&token=s": "2 times",
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
	for _, url := range []string{"consul://h1,h2/x", "consul://h/x?dc=d", "consul://h/x?passing=true"} {
		if _, err := mux().OpenRegistrar(url); err == nil {
			t.Errorf("%s: a registrar that cannot be", url)
		}
	}
	err := Watcher("http://u:secret@h:1,h,:1", "").(*watcher).Validate()
	for _, part := range []string{"agent 1 of 3", "agent 2 of 3", "agent 3 of 3", "no service"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v, want one with %q", err, part)
		}
	}
	if err := Watcher("h", "x").Watch(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "agent 1 of 1") {
		t.Errorf("Watch returned %v", err)
	}
}

func TestPacerLetsABurstPassAndKeepsTheRateAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer{gap: 100 * time.Millisecond, burst: 10}
		at := func(n int) time.Duration {
			begun := time.Now()
			for range n {
				if err := p.wait(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			return time.Since(begun)
		}
		if d := at(11); d != 0 {
			t.Errorf("a burst took %v", d)
		}
		if d := at(100); d != 10*time.Second {
			t.Errorf("100 more took %v, want 10 s", d)
		}
		time.Sleep(time.Minute)
		if d := at(11); d != 0 {
			t.Errorf("a burst after a rest took %v", d)
		}
	})
}
