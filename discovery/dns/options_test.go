package dns

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/plugintest"
)

func mux() *discovery.Mux {
	var m discovery.Mux
	m.Handle("dns", Opener)
	return &m
}

func TestOptionsAndParametersAreThoseOfTheTable(t *testing.T) { plugintest.CheckOptions(t, Opener) }

func TestURLNamesServersAndName(t *testing.T) {
	for url, want := range map[string]struct {
		servers []string
		name    string
		port    uint16
	}{
		"dns:///Echo.example:9090":                     {nil, "echo.example", 9090},
		"dns:///echo.example.:9090":                    {nil, "echo.example.", 9090},
		"dns:///_echo._tcp.example.com":                {nil, "_echo._tcp.example.com", 0},
		"dns://10.0.0.2,[::1]:5353,ns/echo.example:80": {[]string{"10.0.0.2:53", "[::1]:5353", "ns:53"}, "echo.example", 80},
	} {
		w, err := mux().Open(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if c := w.(*watcher).config; !slices.Equal(c.servers, want.servers) || c.name != want.name || c.port != want.port {
			t.Errorf("%s: servers %q, name %q, port %d", url, c.servers, c.name, c.port)
		}
	}
}

func TestEachParameterAndOptionIsRead(t *testing.T) {
	w, err := mux().Open("dns:///_x._tcp.test?allow=10.0.0.0/8&deny=10.0.0.1&timeout=3s&min_ttl=2s&max_ttl=4s&family=both&transport=udp&all_priorities=true")
	if err != nil {
		t.Fatal(err)
	}
	skipped := ""
	byOption := newConfig(nil, "_x._tcp.test", []Option{
		Allow("10.0.0.0/8"), Deny("10.0.0.1"), Timeout(3 * time.Second), MinTTL(2 * time.Second), MaxTTL(4 * time.Second),
		WithFamily("both"), WithTransport("udp"), AllPriorities(), OnSkipped(func(key string, _ error) { skipped = key }),
	})
	if byOption.onSkipped("k", nil); skipped != "k" {
		t.Error("OnSkipped is not read")
	}
	for _, c := range []*config{w.(*watcher).config, byOption} {
		if c.timeout != 3*time.Second || c.minTTL != 2*time.Second || c.maxTTL != 4*time.Second || c.family != "both" || c.transport != "udp" || !c.allPriorities ||
			c.admission.Check(discovery.Endpoint{Addr: "10.0.0.2:1"}) != nil ||
			c.admission.Check(discovery.Endpoint{Addr: "10.0.0.1:1"}) == nil || c.admission.Check(discovery.Endpoint{Addr: "11.0.0.1:1"}) == nil {
			t.Errorf("got %+v", c)
		}
		if err := c.validate(); err != nil {
			t.Error(err)
		}
	}
}

func TestMistakesAreReportedWithoutIO(t *testing.T) {
	for url, want := range map[string]string{
		"dns://":                  "the name is empty",
		"dns://echo.example:9090": "the name is empty",
		"dns:///:80":              "the name is empty",
		"dns:///a:http":           "the port is not a number",
		"dns:///a:0":              "the port is not a number",
		"dns:///10.0.0.1:80":      "static://",
		"dns:///a..b:80":          `the name "a..b"`,
		"dns:///" + strings.Repeat("a", 64) + ":80":  "the name",
		"dns:///" + strings.Repeat("a.", 200) + "a":  "the name",
		"dns://unix:%2Fx/a:80":                       "Unix socket",
		"dns://u:secret@h/a:80":                      "a user and a password",
		"dns:///a:80?min_ttl=1ms":                    "min_ttl",
		"dns:///a:80?min_ttl=2m":                     "less than min_ttl",
		"dns:///a:80?family=ipv5":                    "any, ipv4, ipv6, both",
		"dns:///a:80?transport=tls":                  "tcp, udp",
		"dns:///a:80?all_priorities=true":            "all_priorities",
		"dns:///a:80?ttl=1s":                         "known are allow, deny, timeout, min_ttl, max_ttl, family, transport, all_priorities",
		"dns:///a:80?allow=x:y":                      "allow",
		"dns:///a:80?timeout=1h":                     "timeout",
		"dns:///a:80?min_ttl=1s&max_ttl=1s&family=x": "family",
	} {
		if _, err := mux().Open(url); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error %v, want %q", url, err, want)
		}
	}
	w := Watcher([]string{"h:x"}, "", nil, WithFamily("x")).(*watcher)
	for _, part := range []string{"server 1 of 1", "the name is empty", "option 1 is nil", "family"} {
		if err := w.Validate(); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v, want one with %q", err, part)
		}
	}
	if err := w.Watch(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "server 1 of 1") {
		t.Errorf("Watch returned %v", err)
	}
}
