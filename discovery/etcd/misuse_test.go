package etcd_test

import (
	"strings"
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
	watcher, err := mux.Open("etcd://u:hunter2@127.0.0.1/services/echo")
	if err != nil {
		t.Fatal(err)
	}
	registrar, err := mux.OpenRegistrar("etcd://u:hunter2@127.0.0.1/services/echo")
	if err != nil {
		t.Fatal(err)
	}
	printing.CheckHides(t, secret, watcher, registrar,
		etcd.Watcher([]string{"h1"}, "/services/echo", credentials), etcd.Registrar([]string{"h1"}, "/services/echo", credentials))
}

func TestOptionThatIsNilIsAnError(t *testing.T) {
	for _, v := range []any{etcd.Watcher([]string{"h"}, "/services/echo", nil), etcd.Registrar([]string{"h"}, "/services/echo", etcd.WithTLS(discovery.TLS{}), nil)} {
		validate, ok := v.(interface{ Validate() error })
		if !ok {
			t.Fatalf("%T has no Validate", v)
		}
		if err := validate.Validate(); err == nil || !strings.Contains(err.Error(), "is nil") {
			t.Errorf("%T: error %v", v, err)
		}
	}
}
