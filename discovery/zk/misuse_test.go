package zk_test

import (
	"strings"
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
	watcher, err := mux.Open("zk://u:hunter2@127.0.0.1/services/echo")
	if err != nil {
		t.Fatal(err)
	}
	registrar, err := mux.OpenRegistrar("zk://u:hunter2@127.0.0.1/services/echo")
	if err != nil {
		t.Fatal(err)
	}
	printing.CheckHides(t, secret, watcher, registrar,
		zk.Watcher([]string{"h1"}, "/services/echo", credentials), zk.Registrar([]string{"h1"}, "/services/echo", credentials))
}

func TestOptionThatIsNilIsAnError(t *testing.T) {
	for _, v := range []any{zk.Watcher([]string{"h"}, "/services/echo", nil), zk.Registrar([]string{"h"}, "/services/echo", zk.WithTLS(discovery.TLS{}), nil)} {
		validate, ok := v.(interface{ Validate() error })
		if !ok {
			t.Fatalf("%T has no Validate", v)
		}
		if err := validate.Validate(); err == nil || !strings.Contains(err.Error(), "is nil") {
			t.Errorf("%T: error %v", v, err)
		}
	}
}
