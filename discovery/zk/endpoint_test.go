package zk_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/zk"
)

func TestEndpointThatTheFormatCannotHoldIsAnErrorOfRegister(t *testing.T) {
	r := zk.Registrar([]string{"127.0.0.1:1"}, "/services/echo")
	e := discovery.Endpoint{Addr: "10.0.0.7:9090", Weight: 2}
	if g, err := discovery.Register(r, e); err == nil {
		_ = g.Close(t.Context())
		t.Error("it is registered, or tried for ever")
	} else if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "a weight") {
		t.Errorf("error %v", err)
	}
	e = discovery.Endpoint{Addr: e.Addr}
	g, err := discovery.Register(r, e) // nobody is there, but that may change
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = g.Close(ctx)
}
