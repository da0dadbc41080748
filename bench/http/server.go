package main

import (
	"bytes"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/minicaptain/multi_connection_pool/bench/internal/servers"
)

// largest is the most that can be asked for.
const largest = 1 << 20

var body = bytes.Repeat([]byte{'x'}, largest)

// answer sends as many bytes as the path says.
func answer(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
	if err != nil || n < 0 || n > largest {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Length", strconv.Itoa(n))
	_, _ = w.Write(body[:n]) // the client may be gone
}

// listen speaks HTTP/1.1, and HTTP/2 without TLS.
func listen(addr string) (servers.Server, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return servers.Server{}, err
	}
	server := &http.Server{Handler: http.HandlerFunc(answer), Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	return servers.Server{Addr: ln.Addr(), Serve: func() error { return server.Serve(ln) }}, nil
}
