package plugintest

import (
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
)

// Proxy returns a proxy in front of a server, which ends with the test.
func Proxy(tb testing.TB, server string) *discoverytest.Proxy {
	tb.Helper()
	p, err := discoverytest.NewProxy(server)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = p.Close() })
	return p
}
