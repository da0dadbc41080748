package main

import (
	"io"
	"net"
	"net/http"
)

// listenHTTP speaks HTTP/1.1.
func listenHTTP(addr string, h *handler) (net.Addr, func() error, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, nil, err
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, h.answer()) // the client may be gone
	})}
	return ln.Addr(), func() error { return server.Serve(ln) }, nil
}
