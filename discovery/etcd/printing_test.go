package etcd_test

import (
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/etcd"
	"github.com/minicaptain/multi_connection_pool/internal/printing"
)

func TestSecretsAreNotPrinted(t *testing.T) {
	const secret = "hunter2"
	credentials := etcd.WithCredentials(discovery.UserPassword("u", discovery.NewSecret(secret)))
	var mux discovery.Mux
	mux.Handle("etcd", etcd.Opener)
	watcher, err := mux.Open("etcd://u:hunter2@h1/services/echo")
	if err != nil {
		t.Fatal(err)
	}
	registrar, err := mux.OpenRegistrar("etcd://u:hunter2@h1/services/echo")
	if err != nil {
		t.Fatal(err)
	}
	printing.CheckHides(t, secret, watcher, registrar,
		etcd.Watcher([]string{"h1"}, "/services/echo", credentials), etcd.Registrar([]string{"h1"}, "/services/echo", credentials))
}
