package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/minicaptain/multi_connection_pool/observe/live"
)

// servePage serves the live page at addr, if that is not empty, until stop is called.
func servePage(ctx context.Context, addr string, page *live.Page, events *timeline) (stop func(), err error) {
	if addr == "" {
		return func() {}, nil
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("the live page: %w", err)
	}
	server := &http.Server{Handler: page, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan struct{})
	go func() { // ends with stop, which waits for it
		defer close(ended)
		_ = server.Serve(ln)
	}()
	events.serves("http://" + ln.Addr().String() + "/")
	return func() {
		_ = server.Close() // those who look too
		<-ended
	}, nil
}
