//go:build go1.26

package httppool

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
)

func TestTheTimeoutOfHTTP2CountsTheWaitForAStreamAndForRoomForTheBody(t *testing.T) {
	s, conf := h2c(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	s.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 1} // read when a connection comes
	busy, err := Dial(conf).Dial(t.Context(), core.Endpoint{Addr: addrOf(s)})
	if err != nil {
		t.Fatal(err)
	}
	conf.Timeout = 100 * time.Millisecond
	impatient, err := Dial(conf).Dial(t.Context(), core.Endpoint{Addr: prototest.Listen(t, func(nc net.Conn) {
		speakHTTP2(nc, func(uint32) []byte { return nil })
	})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = busy.Close(), impatient.Close() })
	post := func(c *Conn, body io.Reader) (*http.Response, error) {
		return c.RoundTrip(must(http.NewRequestWithContext(t.Context(), http.MethodPost, "http://echo/", body)))
	}
	send := func(c *Conn, body io.Reader) error {
		resp, err := post(c, body)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	}
	begun, err := post(busy, nil) // its response came after the server's limit
	if err != nil {
		t.Fatal(err)
	}
	defer begun.Body.Close()
	busy.streams = newStreamTimeouts(conf.Timeout, busy.staleness.Now) // from now on
	if err := send(busy, nil); !errors.Is(err, errTimeout) {
		t.Errorf("while the server allows no stream: %v", err)
	}
	if err := send(impatient, strings.NewReader(strings.Repeat("x", 1<<20))); !errors.Is(err, errTimeout) {
		t.Errorf("while the server takes no more of the body: %v", err)
	}
	_ = busy.Close()
	if _, err := io.ReadAll(begun.Body); err == nil {
		t.Error("the first request ended well")
	}
}
