package consul_test

import (
	"strings"
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/consul"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/internal/printing"
)

func TestSecretsAreNotPrinted(t *testing.T) {
	const secret = "hunter2"
	credentials := consul.WithCredentials(discovery.NewSecret(secret))
	var mux discovery.Mux
	mux.Handle("consul", consul.Opener)
	watcher, err := mux.Open("consul://127.0.0.1/echo?credentials=hunter2")
	if err != nil {
		t.Fatal(err)
	}
	registrar, err := mux.OpenRegistrar("consul://127.0.0.1/echo?credentials=hunter2")
	if err != nil {
		t.Fatal(err)
	}
	printing.CheckHides(t, secret, watcher, registrar,
		consul.Watcher([]string{"h1"}, "echo", credentials), consul.Registrar([]string{"h1"}, "echo", credentials),
		consul.Registrar([]string{"h1"}, "", consul.WithPrefix("echo"), consul.WithFormat(format.Rpcx("")), credentials))
}

func TestOptionThatIsNilIsAnError(t *testing.T) {
	for _, v := range []any{consul.Watcher([]string{"h"}, "echo", nil), consul.Registrar([]string{"h"}, "echo", consul.WithTLS(discovery.TLS{}), nil)} {
		validate, ok := v.(interface{ Validate() error })
		if !ok {
			t.Fatalf("%T has no Validate", v)
		}
		if err := validate.Validate(); err == nil || !strings.Contains(err.Error(), "is nil") {
			t.Errorf("%T: error %v", v, err)
		}
	}
}
