//go:build go1.26

package httppool

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
)

// readConn is a connection of which only the reading half matters.
type readConn struct {
	net.Conn
	io.Reader
}

func (c readConn) Read(p []byte) (int, error) { return c.Reader.Read(p) }

func TestTheFirstFrameOfAServerOfHTTP2SaysWhatItAllows(t *testing.T) {
	const all = 1 << 30
	streams := func(n uint32) []byte { return append([]byte{0, settingStreams}, code(n)...) }
	other := append([]byte{0, 4}, code(77)...) // the initial window
	for name, c := range map[string]struct {
		sent []byte
		want int
		err  error
	}{
		"no settings":   {frame(frameSettings, 0, 0, nil), 0, nil},
		"others":        {frame(frameSettings, 0, 0, other), 0, nil},
		"two":           {frame(frameSettings, 0, 0, slices.Concat(other, streams(2))), 2, nil},
		"the last one":  {frame(frameSettings, 0, 0, slices.Concat(streams(9), streams(3), other)), 3, nil},
		"none just now": {frame(frameSettings, 0, 0, streams(0)), 1, nil},
		"without bound": {frame(frameSettings, 0, 0, streams(1<<32-1)), all, nil},
		"a frame more":  {slices.Concat(frame(frameSettings, 0, 0, streams(5)), frame(frameSettings, 0, 0, streams(6))), 5, nil},
		"another frame": {frame(frameGoAway, 0, 0, streams(2)), 0, errNotHTTP2},
		"HTTP/1.1":      {[]byte("HTTP/1.1 400 Bad Request\r\n"), 0, errNotHTTP2},
		"nothing":       {nil, 0, io.EOF},
		"half a head":   {frame(frameSettings, 0, 0, nil)[:5], 0, io.EOF},
		"half a frame":  {frame(frameSettings, 0, 0, streams(2))[:12], 0, io.EOF},
	} {
		for how, r := range map[string]func(io.Reader) io.Reader{
			"at once": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "with the end": iotest.DataErrReader,
		} {
			sent := &readConn{Reader: r(bytes.NewReader(c.sent))}
			settings := newSettingsConn(sent)
			got, err := io.ReadAll(settings)
			if string(got) != string(c.sent) || err != nil {
				t.Errorf("%s, %s: read %q, %v", name, how, got, err)
			}
			if err := settings.wait(t.Context()); !errors.Is(err, c.err) || settings.streams != c.want {
				t.Errorf("%s, %s: %d, %v", name, how, settings.streams, err)
			}
		}
	}
}

func TestAServerOfHTTP2ThatAllowsFewRequestsGetsMoreConnections(t *testing.T) {
	for _, secured := range []bool{false, true} {
		begun := make(chan struct{}, 2)
		h := func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/poll" {
				begun <- struct{}{}
				<-r.Context().Done()
			}
			_, _ = io.WriteString(w, "short")
		}
		s, conf := h2c(t, h)
		scheme := "http"
		if secured {
			s, conf = secure(t, h, true)
			scheme = "https"
		}
		s.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 2} // read when a connection comes
		conf.Timeout = time.Hour                                    // not what helps
		ctx, cancel := context.WithCancel(t.Context())
		ask := map[string]func(ctx context.Context, path string) (string, error){}
		pool := poolOf(t, conf, static.Watcher(addrOf(s)), core.MaxActive(8))
		ours := clientOf(t, pool)
		ask["ours"] = func(ctx context.Context, path string) (string, error) {
			_, got, err := get(ctx, ours, scheme+"://echo"+path)
			return got, err
		}
		tr := &http.Transport{TLSClientConfig: conf.TLS, Protocols: new(http.Protocols)}
		tr.Protocols.SetHTTP2(true)
		tr.Protocols.SetUnencryptedHTTP2(true)
		t.Cleanup(tr.CloseIdleConnections)
		ask["net/http's"] = func(ctx context.Context, path string) (string, error) {
			_, got, err := get(ctx, &http.Client{Transport: tr}, scheme+"://"+addrOf(s)+path)
			return got, err
		}
		for whose, ask := range ask {
			var polls, shorts sync.WaitGroup
			for range 2 {
				polls.Go(func() { _, _ = ask(ctx, "/poll") })
				<-begun
			}
			for range 10 {
				shorts.Go(func() {
					if got, err := ask(t.Context(), "/"); got != "short" || err != nil {
						t.Errorf("%s, TLS %v: %q, %v", whose, secured, got, err)
					}
				})
			}
			shorts.Wait()
			t.Cleanup(polls.Wait)
		}
		if n := open(pool); n < 2 || n > 8 {
			t.Errorf("TLS %v: %d connections", secured, n)
		}
		cancel()
	}
}

func TestTheDialOfAPeerThatSendsOrReadsNothingEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for what, speak := range map[string]func(net.Conn){
			"reads nothing": func(net.Conn) {},
			"sends nothing": func(nc net.Conn) { go prototest.Silent(nc) }, // ends with the dial
		} {
			conf := Config{HTTP2: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
				here, there := net.Pipe()
				speak(there)
				return here, nil
			}}
			ctx, cancel := contextOf(t, time.Second)
			begun := time.Now()
			_, err := Dial(conf).Dial(ctx, core.Endpoint{Addr: "a:1"})
			if took := time.Since(begun); !isTimeout(err) || errors.Is(err, context.DeadlineExceeded) || took != time.Second {
				t.Errorf("%s: %v after %v", what, err, took)
			}
			cancel()
		}
	})
}
