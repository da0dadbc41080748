package xds

import (
	"slices"
	"strings"
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/plugintest"
)

func TestOptionsAndParametersAreThoseOfTheTable(t *testing.T) { plugintest.CheckOptions(t, Opener) }

func TestCredentialsCrossANetworkInPlainTextOnlyIfAllowed(t *testing.T) {
	plugintest.CheckPlaintext(t, Opener)
}

func TestSecretOrCertificateThatIsNotThereIsAnErrorAtOnce(t *testing.T) {
	plugintest.CheckMissingFiles(t, Opener)
}

func TestURLNamesControlPlanesAndCluster(t *testing.T) {
	var m discovery.Mux
	m.Handle("xds", Opener)
	for url, want := range map[string]config{
		"xds://h1:1,h2/echo?node=me&node_cluster=front":     {servers: []string{"h1:1", "h2:18000"}, cluster: "echo", node: "me", nodeCluster: "front"},
		"xds://[::1]:1/outbound%7C80%7C%7Cecho.default.svc": {servers: []string{"[::1]:1"}, cluster: "outbound|80||echo.default.svc"},
		"xds://h:1/team/echo":                               {servers: []string{"h:1"}, cluster: "team/echo"},
	} {
		w, err := m.Open(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		c := w.(*watcher).config
		if !slices.Equal(c.servers, want.servers) || c.cluster != want.cluster || want.node != "" && c.node != want.node || c.nodeCluster != want.nodeCluster {
			t.Errorf("%s: %+v", url, c)
		}
	}
	for url, want := range map[string]string{
		"xds://h:1":            "the cluster is empty: write its name as the path",
		"xds:///echo":          "xds: ",
		"xds://u:p@h:1/echo":   "a token is the parameter credentials",
		"xds://h:1/echo?id=me": `"id"`,
	} {
		if _, err := m.Open(url); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", url, err, want)
		}
	}
	if _, err := m.OpenRegistrar("xds://h:1/echo"); err == nil {
		t.Error("there is a registrar")
	}
}
