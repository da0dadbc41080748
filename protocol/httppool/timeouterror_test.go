//go:build go1.26

package httppool

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// An error has the properties that net/http's has in the same place.
func TestErrorsOfTimeAndTLSAreThoseOfNetHTTP(t *testing.T) {
	const limit = 50 * time.Millisecond
	roots := &tls.Config{ServerName: "example.com"}
	silent := mute(t)
	plain := addrOf(server(t, hello("a")))
	type is struct{ timeout, deadline, scheme bool }
	for name, c := range map[string]struct {
		addr, scheme string
		conf         Config
		theirs       *http.Transport
		client, dial time.Duration // the times of the client and, unless 0, of a dial
	}{
		"no answer": {
			addr: silent, scheme: "http", conf: Config{Timeout: limit}, theirs: &http.Transport{ResponseHeaderTimeout: limit},
		},
		"no answer in the client's time": {addr: silent, scheme: "http", theirs: &http.Transport{}, client: limit},
		"no TLS handshake": {
			addr: silent, scheme: "https", conf: Config{TLS: roots}, dial: limit,
			theirs: &http.Transport{TLSClientConfig: roots, TLSHandshakeTimeout: limit},
		},
		"no TLS": {addr: plain, scheme: "https", conf: Config{TLS: roots}, theirs: &http.Transport{TLSClientConfig: roots}},
		"no TLS, HTTP/2": {
			addr: plain, scheme: "https", conf: Config{TLS: roots, HTTP2: true}, theirs: &http.Transport{TLSClientConfig: roots, ForceAttemptHTTP2: true},
		},
		"no connection": {
			addr: silent, scheme: "http", conf: Config{DialContext: hanging}, dial: limit,
			theirs: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				ctx, cancel := context.WithTimeout(ctx, limit)
				defer cancel()
				return hanging(ctx, network, addr)
			}},
		},
	} {
		t.Cleanup(c.theirs.CloseIdleConnections)
		properties := func(rt http.RoundTripper) (is, error) {
			_, _, err := get(t.Context(), &http.Client{Transport: rt, Timeout: c.client}, c.scheme+"://echo/")
			if err == nil {
				t.Fatalf("%s: no error", name)
			}
			var timeout net.Error
			return is{
				errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded),
				errors.Is(err, http.ErrSchemeMismatch),
			}, err
		}
		pool := newPool(t, c.conf, []string{c.addr}, core.DialTimeout(cmp.Or(c.dial, enough)))
		ours, err := properties(clientOf(t, pool, Attempts(1)).Transport)
		for n := 0; n < 20 && strings.Contains(err.Error(), "the dialer has not returned"); n++ { // on a busy machine
			ours, err = properties(clientOf(t, pool, Attempts(1)).Transport)
		}
		theirs, their := properties(toServer{c.theirs, c.addr})
		if ours != theirs {
			t.Errorf("%s: %+v: %v; net/http: %+v: %v", name, ours, err, theirs, their)
		}
	}
}

// hanging is a dial that gets no answer.
func hanging(ctx context.Context, network, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, &net.OpError{Op: "dial", Net: network, Err: os.ErrDeadlineExceeded}
}
