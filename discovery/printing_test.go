package discovery_test

import (
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/internal/printing"
)

func TestNoWayToPrintShowsASecret(t *testing.T) {
	const secret = "hunter2"
	s := discovery.NewSecret(secret)
	var read discovery.Secret
	if err := read.UnmarshalText([]byte(secret)); err != nil {
		t.Fatal(err)
	}
	u, err := discovery.ParseURL("zk://u:hunter2@h/p?credentials=hunter2")
	if err != nil {
		t.Fatal(err)
	}
	printing.CheckHides(t, secret, s, read, discovery.UserPassword("u", s), *u, discovery.TLS{Enabled: true})
	token, err := discovery.ParseURL("consul://hunter2@h/echo")
	if err != nil {
		t.Fatal(err)
	}
	if got := token.String(); got != "consul://xxxxx@h/echo" {
		t.Errorf("a token in the place of a user: %s", got)
	}
	if value, err := read.Value(); value != secret || err != nil {
		t.Errorf("UnmarshalText made %q, %v", value, err)
	}
}
