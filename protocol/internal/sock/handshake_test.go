package sock_test

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/sock"
)

func TestAServerWithoutTLSIsNamed(t *testing.T) {
	says := func(s string) func(net.Conn) {
		return func(nc net.Conn) {
			one := make([]byte, 1)
			if _, err := nc.Read(one); err == nil {
				_, _ = nc.Write([]byte(s))
			}
			prototest.Silent(nc) // closing with something unread would reset the connection
		}
	}
	_, conf := prototest.TLS(t, 0)
	stranger, _ := prototest.TLS(t, 0)
	for name, k := range map[string]struct {
		speak func(net.Conn)
		wait  time.Duration
		says  string
		not   string
	}{
		"closes":        {func(nc net.Conn) { _, _ = nc.Read(make([]byte, 1<<10)) }, prototest.Patience, "it may not speak TLS", "with"},
		"is silent":     {prototest.Silent, 50 * time.Millisecond, "it may not speak TLS", "with"},
		"speaks HTTP":   {says("HTTP/1.0 400 Bad Request\r\n\r\n"), prototest.Patience, "the server speaks HTTP without TLS", "may"},
		"speaks SSH":    {says("SSH-2.0-x\r\n"), prototest.Patience, `the server speaks without TLS, and began with "SSH-2"`, "may"},
		"is a stranger": {func(nc net.Conn) { _ = tls.Server(nc, stranger).HandshakeContext(t.Context()) }, prototest.Patience, "certificate", "TLS,"},
	} {
		t.Run(name, func(t *testing.T) {
			addr := prototest.Listen(t, k.speak)
			ctx, cancel := context.WithTimeout(t.Context(), k.wait)
			defer cancel()
			raw, err := sock.Dial(t.Context(), nil, addr)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = raw.Close() }()
			conf, err := sock.Named(conf, nil, addr)
			if err != nil {
				t.Fatal(err)
			}
			_, err = sock.Open(ctx, raw, conf)
			if err == nil || !strings.Contains(err.Error(), k.says) || strings.Contains(err.Error(), k.not) {
				t.Errorf("got %v", err)
			}
		})
	}
}
