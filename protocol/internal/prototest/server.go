// Package prototest holds what the tests of the protocol adapters share: servers
// that send and receive bytes, certificates, and ways to wait.
package prototest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Listen calls speak for each connection to the returned address. The connections
// are closed when speak returns, and when the test ends, which waits for speak.
func Listen(tb testing.TB, speak func(nc net.Conn)) (addr string) {
	tb.Helper()
	ln, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	Serve(tb, ln, speak)
	return ln.Addr().String()
}

// Serve is [Listen] with a listener, which it closes when the test ends.
func Serve(tb testing.TB, ln net.Listener, speak func(nc net.Conn)) {
	tb.Helper()
	var accepting, running sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	accepting.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, nc)
			mu.Unlock()
			running.Go(func() {
				defer func() { _ = nc.Close() }()
				speak(nc)
			})
		}
	})
	tb.Cleanup(func() {
		_ = ln.Close()
		accepting.Wait() // or a connection that is being accepted would live on
		mu.Lock()
		for _, nc := range conns {
			_ = nc.Close()
		}
		mu.Unlock()
		running.Wait()
	})
}

// Silent reads until the connection ends, and never answers.
func Silent(nc net.Conn) { _, _ = io.Copy(io.Discard, nc) }

// Reset closes a connection with RST.
func Reset(nc net.Conn) {
	if tc, ok := nc.(*net.TCPConn); ok {
		_ = tc.SetLinger(0)
	}
	_ = nc.Close()
}

// HangUps returns the ways in which a server accepts a connection and closes it without
// an answer, by their names.
func HangUps() map[string]func(net.Conn) {
	return map[string]func(net.Conn){
		"closes at once":            func(net.Conn) {},
		"resets at once":            Reset,
		"closes at the first byte":  func(nc net.Conn) { _, _ = nc.Read(make([]byte, 1)) },
		"closes behind the request": func(nc net.Conn) { _, _ = nc.Read(make([]byte, 4<<10)) },
	}
}
