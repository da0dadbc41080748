package thriftpool

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

// webServer is Apache's handler in a server of net/http.
func webServer(t *testing.T, secured bool) string {
	t.Helper()
	proto := thrift.NewTBinaryProtocolFactoryConf(nil)
	s := httptest.NewUnstartedServer(http.HandlerFunc(thrift.NewThriftHandlerFunc(echo.NewEchoProcessor(&handler{}), proto, proto)))
	if secured {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// saying is a server that answers each connection's first bytes with s.
func saying(t *testing.T, s string) string {
	t.Helper()
	return prototest.Listen(t, func(nc net.Conn) {
		if _, err := nc.Read(make([]byte, 1<<10)); err == nil && answer(nc, []byte(s)) {
			prototest.Silent(nc)
		}
	})
}

func TestAServerWithAnotherStackIsNamed(t *testing.T) {
	plain, conf := thrift.NewTTransportFactory(), &thrift.TConfiguration{}
	strict := &thrift.TConfiguration{TBinaryStrictRead: new(true)}
	secured, clientTLS := secure(t, 0)
	unframed := Config{Transport: plain}
	apache := Config{Transport: thrift.NewTFramedTransportFactoryConf(plain, conf)}
	compact := Config{Protocol: thrift.NewTCompactProtocolFactoryConf(conf)}
	unframedJSON := Config{Transport: plain, Protocol: thrift.NewTJSONProtocolFactory()}
	header := Config{Protocol: thrift.NewTHeaderProtocolFactoryConf(conf)}
	result := reply(t, "echo", thrift.REPLY, 1, said("s"))
	const (
		alert       = "\x15\x03\x01\x00\x02\x02\x46" // OpenSSL's to what is no handshake
		mayNoFrames = "has never answered: it may expect no frames, TLS, HTTP or another protocol"
		mayFrames   = "has never answered: it may expect frames, TLS, HTTP or another protocol"
	)
	for name, k := range map[string]struct {
		client Config
		server func(t *testing.T) string
		says   string
	}{
		"frames to a server without": {Config{}, func(t *testing.T) string {
			return serve(t, stack{transport: plain, protocol: thrift.NewTBinaryProtocolFactoryConf(conf)}, &handler{}).addr()
		}, mayNoFrames},
		"frames to a strict server without": {Config{}, func(t *testing.T) string {
			return serve(t, stack{transport: plain, protocol: thrift.NewTBinaryProtocolFactoryConf(strict)}, &handler{}).addr()
		}, mayNoFrames},
		"no frames to a server with":       {unframed, func(t *testing.T) string { return serve(t, framedBinary(), &handler{}).addr() }, mayFrames},
		"compact to a binary server":       {compact, func(t *testing.T) string { return serve(t, framedBinary(), &handler{}).addr() }, "another protocol"},
		"a reply without frames":           {Config{}, func(t *testing.T) string { return saying(t, result) }, "answers without frames"},
		"Apache's frames, a reply without": {apache, func(t *testing.T) string { return saying(t, result) }, "answers without frames"},
		"a reply in frames":                {unframed, func(t *testing.T) string { return saying(t, string(frame(result))) }, "answers in frames"},

		"plain to TLS":                {Config{}, func(t *testing.T) string { return serve(t, secured, &handler{}).addr() }, mayNoFrames},
		"plain without frames to TLS": {unframed, func(t *testing.T) string { return serve(t, secured, &handler{}).addr() }, "the server speaks TLS"},
		"plain compact to TLS":        {compact, func(t *testing.T) string { return serve(t, secured, &handler{}).addr() }, mayNoFrames},
		"plain THeader to TLS":        {header, func(t *testing.T) string { return serve(t, secured, &handler{}).addr() }, mayNoFrames},
		"TLS to plain frames":         {Config{TLS: clientTLS}, func(t *testing.T) string { return serve(t, framedBinary(), &handler{}).addr() }, "it may not speak TLS"},
		"TLS to HTTP":                 {Config{TLS: clientTLS}, func(t *testing.T) string { return webServer(t, false) }, "the server speaks HTTP without TLS"},

		"to HTTP":                           {Config{}, func(t *testing.T) string { return webServer(t, false) }, "the server speaks HTTP"},
		"without frames to HTTP":            {unframed, func(t *testing.T) string { return webServer(t, false) }, "the server speaks HTTP"},
		"Apache's frames to HTTP":           {apache, func(t *testing.T) string { return webServer(t, false) }, "the server speaks HTTP"},
		"compact to HTTP":                   {compact, func(t *testing.T) string { return webServer(t, false) }, "the server speaks HTTP"},
		"JSON to HTTP":                      {unframedJSON, func(t *testing.T) string { return webServer(t, false) }, mayFrames},
		"THeader to HTTP":                   {header, func(t *testing.T) string { return webServer(t, false) }, "the server speaks HTTP"},
		"plain to HTTPS":                    {Config{}, func(t *testing.T) string { return webServer(t, true) }, mayNoFrames},
		"JSON to HTTP that answers":         {unframedJSON, func(t *testing.T) string { return saying(t, "HTTP/1.1 400 Bad Request\r\n\r\n") }, "the server speaks HTTP"},
		"plain to TLS that answers":         {Config{}, func(t *testing.T) string { return saying(t, alert) }, "the server speaks TLS"},
		"plain THeader to TLS that answers": {header, func(t *testing.T) string { return saying(t, alert) }, "the server speaks TLS"},
		"plain JSON to TLS that answers":    {unframedJSON, func(t *testing.T) string { return saying(t, alert) }, "the server speaks TLS"},
		"to a page without a head":          {Config{}, func(t *testing.T) string { return saying(t, "<!DOCTYPE HTML>") }, "the server speaks HTTP"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k.client.Timeout = prototest.Patience
			if strings.HasPrefix(k.says, "has never answered") || k.says == "answers in frames" { // one waits for more
				k.client.Timeout = 500 * time.Millisecond
			}
			pool := newPool(t, k.client, []string{k.server(t)}, core.MaxActive(1))
			ctx, cancel := context.WithTimeout(t.Context(), 2*prototest.Patience)
			defer cancel()
			_, err := echo.NewEchoClient(Client(pool, Attempts(1))).Echo(ctx, "two lines\r\n\r\n")
			if _, ok := errors.AsType[*Error](err); !ok || !strings.Contains(err.Error(), k.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAServerThatHasAnsweredIsNotSaidToSpeakSomethingElse(t *testing.T) {
	mute := make(chan struct{})
	h := &handler{onEcho: func(context.Context, string) (string, error) {
		<-mute
		return "", nil
	}}
	s := serve(t, framedBinary(), h)
	t.Cleanup(func() { close(mute) })
	c := newClient(t, Config{}, []string{s.addr()})
	if err := c.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := c.Echo(ctx, "s")
	if !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "may") {
		t.Errorf("got %v", err)
	}
}
