package kubernetes

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/plugintest"
)

func mux() *discovery.Mux {
	var m discovery.Mux
	m.Handle("k8s", Opener)
	return &m
}

// kubeconfig writes one with the contexts "a", which is the current one, and "b", and
// returns its path.
func kubeconfig(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config")
	content := `
apiVersion: v1
kind: Config
current-context: a
clusters:
- {name: one, cluster: {server: "https://10.0.0.1:6443"}}
- {name: two, cluster: {server: "https://10.0.0.2:6443"}}
users:
- {name: u, user: {token: secret}}
contexts:
- {name: a, context: {cluster: one, user: u}}
- {name: b, context: {cluster: two, user: u}}
- {name: "admin@b:8", context: {cluster: two, user: u}}
`
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOptionsAndParametersAreThoseOfTheTable(t *testing.T) { plugintest.CheckOptions(t, Opener) }

func TestURLNamesContextNamespaceServiceAndPort(t *testing.T) {
	t.Setenv("KUBECONFIG", kubeconfig(t))
	for url, want := range map[string]struct{ namespace, service, port, host string }{
		"k8s:///shop/echo:9090":                  {"shop", "echo", "9090", "https://10.0.0.1:6443"},
		"k8s:///shop/echo:grpc":                  {"shop", "echo", "grpc", "https://10.0.0.1:6443"},
		"k8s:///shop/echo":                       {"shop", "echo", "", "https://10.0.0.1:6443"},
		"k8s://b/shop/echo":                      {"shop", "echo", "", "https://10.0.0.2:6443"},
		"k8s:///shop/echo?context=admin%40b%3A8": {"shop", "echo", "", "https://10.0.0.2:6443"},
		"k8s://a/shop/echo:9090?where=zone:eu-1": {"shop", "echo", "9090", "https://10.0.0.1:6443"},
	} {
		b := &backend{}
		var m discovery.Mux
		m.Handle("k8s", func(p *discovery.Params) discovery.Backend { b.declare(p); return b })
		if _, err := m.Open(url); err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		r, err := b.load()
		if err != nil || r.Host != want.host || b.namespace != want.namespace || b.service != want.service || b.port != want.port {
			t.Errorf("%s: %+v, %v", url, b.config, err)
		}
	}
}

func TestEachParameterAndOptionIsRead(t *testing.T) {
	file := kubeconfig(t)
	w, err := mux().Open("k8s:///shop/echo:9090?kubeconfig=" + file + "&context=b&allow=10.0.0.0/8&deny=10.0.0.1&timeout=3s&family=both")
	if err != nil {
		t.Fatal(err)
	}
	skipped := ""
	byOption := Watcher("shop/echo:9090", Kubeconfig(file), Context("b"), Allow("10.0.0.0/8"), Deny("10.0.0.1"), Timeout(3*time.Second),
		WithFamily("both"), OnSkipped(func(key string, _ error) { skipped = key })).(*watcher)
	if byOption.onSkipped("k", nil); skipped != "k" {
		t.Error("OnSkipped is not read")
	}
	for _, c := range []*config{w.(*watcher).config, byOption.config} {
		r, err := c.load()
		if err != nil || r.Host != "https://10.0.0.2:6443" || c.timeout != 3*time.Second || c.family != "both" ||
			c.admission.Check(discovery.Endpoint{Addr: "10.0.0.2:1"}) != nil ||
			c.admission.Check(discovery.Endpoint{Addr: "10.0.0.1:1"}) == nil || c.admission.Check(discovery.Endpoint{Addr: "11.0.0.1:1"}) == nil {
			t.Errorf("got %+v, %v", c, err)
		}
		if err := c.validate(); err != nil {
			t.Error(err)
		}
	}
	own := newConfig("shop/echo", []Option{WithConfig(&rest.Config{Host: "https://own"})})
	if r, err := own.load(); err != nil || r.Host != "https://own" {
		t.Errorf("WithConfig: %v, %v", r, err)
	}
}

func TestMistakesAreReportedWithoutIO(t *testing.T) {
	t.Setenv("KUBECONFIG", kubeconfig(t))
	for url, want := range map[string]string{
		"k8s://":                              `"" is not namespace/service:port`,
		"k8s:///echo":                         `"echo" is not namespace/service:port`,
		"k8s:///shop/":                        "is not namespace/service:port",
		"k8s:///shop/Echo":                    `the service "Echo"`,
		"k8s:///shop/echo.test":               `the service "echo.test"`,
		"k8s:///shop/echo/x":                  `the service "echo/x"`,
		"k8s:///-shop/echo":                   `the namespace "-shop"`,
		"k8s:///shop/echo:":                   `the port ""`,
		"k8s:///shop/echo:0":                  "the port 0 is not from 1 to 65535",
		"k8s:///shop/echo:65536":              "the port 65536 is not from 1 to 65535",
		"k8s:///shop/echo:Grpc":               `the port "Grpc"`,
		"k8s://a,b/shop/echo":                 "several hosts",
		"k8s://a/shop/echo?context=b":         "given twice",
		"k8s://c/shop/echo":                   `context "c" does not exist`,
		"k8s://u:secret@a/shop/echo":          "the kubeconfig has them",
		"k8s:///shop/echo?kubeconfig=/none/x": "/none/x",
		"k8s:///shop/echo?family=ipv5":        "any, ipv4, ipv6, both",
		"k8s:///shop/echo?allow=x:y":          "allow",
		"k8s:///shop/echo?timeout=1h":         "timeout",
		"k8s:///shop/echo?port=1":             "known are kubeconfig, context, allow, deny, timeout, family",
	} {
		if _, err := mux().Open(url); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error %v, want %q", url, err, want)
		}
	}
	w := Watcher("x", nil, WithFamily("x"), WithConfig(&rest.Config{}), Context("a")).(*watcher)
	for _, part := range []string{"namespace/service:port", "option 1 is nil", "family", "replaces kubeconfig and context"} {
		if err := w.Validate(); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v, want one with %q", err, part)
		}
	}
	if err := w.Watch(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "option 1 is nil") {
		t.Errorf("Watch returned %v", err)
	}
}

func TestOutsideOfAClusterAKubeconfigIsNeeded(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("KUBECONFIG", "")
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	if _, err := mux().Open("k8s:///shop/echo"); err == nil || !strings.Contains(err.Error(), "there is no kubeconfig, and the program does not run in a pod") {
		t.Errorf("error %v", err)
	}
}
