package zk_test

import (
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/zk"
	"github.com/minicaptain/multi_connection_pool/internal/printing"
)

func TestSecretsAreNotPrinted(t *testing.T) {
	const secret = "hunter2"
	credentials := zk.WithCredentials(discovery.UserPassword("u", discovery.NewSecret(secret)))
	var mux discovery.Mux
	mux.Handle("zk", zk.Opener)
	watcher, err := mux.Open("zk://u:hunter2@h1/services/echo")
	if err != nil {
		t.Fatal(err)
	}
	registrar, err := mux.OpenRegistrar("zk://u:hunter2@h1/services/echo")
	if err != nil {
		t.Fatal(err)
	}
	printing.CheckHides(t, secret, watcher, registrar,
		zk.Watcher([]string{"h1"}, "/services/echo", credentials), zk.Registrar([]string{"h1"}, "/services/echo", credentials))
}
