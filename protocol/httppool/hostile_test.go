//go:build go1.26

package httppool

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/protocol/protocoltest"
)

func TestNoServerHarmsAClient(t *testing.T) {
	log.SetOutput(io.Discard) // net/http logs what nobody has asked for
	defer log.SetOutput(os.Stderr)
	flood := func(name, begin, repeat string) protocoltest.Flood {
		return protocoltest.Flood{
			Name: name, Begin: func(protocoltest.Request) []byte { return []byte(begin) }, Repeat: []byte(repeat),
		}
	}
	protocoltest.Run(t, func(*testing.T) protocoltest.Fixture {
		return protocoltest.Fixture{
			Client: hostileClient(Config{}),
			Read: func(r *bufio.Reader) (protocoltest.Request, error) {
				req, err := http.ReadRequest(r)
				if err != nil {
					return protocoltest.Request{}, err
				}
				text := strings.TrimPrefix(req.URL.Path, "/")
				return protocoltest.Request{
					Text: text, Answer: fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text),
				}, nil
			},
			Floods: []protocoltest.Flood{
				flood("interim answers", "", "HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n"),
				flood("a header of many fields", "HTTP/1.1 200 OK\r\n", "A: b\r\n"),
				flood("a header of one field", "HTTP/1.1 200 OK\r\nA: ", "x"),
				flood("a body", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "3\r\nabc\r\n"),
				flood("a body of no chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "0"),
				flood("an extension of a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;", "x"),
				flood("a trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n0\r\n", "A: b\r\n"),
			},
		}
	})
}

// TestNoServerHarmsAClientOfHTTP2 has a server that does not speak HTTP/2 beside one
// that does.
func TestNoServerHarmsAClientOfHTTP2(t *testing.T) {
	protocoltest.Run(t, func(*testing.T) protocoltest.Fixture {
		return protocoltest.Fixture{
			Client: hostileClient(Config{HTTP2: true}),
			Server: func() (string, func() error, error) {
				s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.WriteString(w, strings.TrimPrefix(r.URL.Path, "/"))
				}))
				s.Config.Protocols = new(http.Protocols)
				s.Config.Protocols.SetUnencryptedHTTP2(true)
				s.Start()
				return addrOf(s), func() error { s.Close(); return nil }, nil
			},
		}
	})
}

// hostileClient returns clients that read no more of a body than they need.
func hostileClient(conf Config) func(addrs ...string) (*protocoltest.Client, error) {
	return func(addrs ...string) (*protocoltest.Client, error) {
		pool, err := core.New(static.Watcher(addrs...), Dial(conf))
		if err != nil {
			return nil, err
		}
		var tr Transport
		if err := tr.Register("echo", pool); err != nil {
			return nil, err
		}
		c := tr.Client()
		return &protocoltest.Client{
			Call: func(ctx context.Context, text string) (string, error) {
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://echo/"+text, nil)
				if err != nil {
					return "", err
				}
				resp, err := c.Do(req)
				if err != nil {
					return "", err
				}
				defer func() { _ = resp.Body.Close() }()
				b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
				return string(b), err
			},
			Close: pool.Close,
		}, nil
	}
}
