package main

import (
	"net"
	"strings"
	"testing"
)

func TestServerComesBackAtItsAddress(t *testing.T) {
	f, err := startFleet(t.Context(), 2, registry{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.stop()
	addr := f[0].addr
	if addr == f[1].addr {
		t.Fatalf("both servers are at %s", addr)
	}
	if err := f[0].kill(); err != nil {
		t.Fatal(err)
	}
	if answers(t, addr) {
		t.Error("a killed server accepts connections")
	}
	if err := f[0].start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f[0].addr != addr {
		t.Errorf("started again at %s, was at %s", f[0].addr, addr)
	}
	if !answers(t, addr) {
		t.Error("the server that was started again accepts no connections")
	}
}

func TestStoppedServerIsGone(t *testing.T) {
	f, err := startFleet(t.Context(), 1, registry{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.stop()
	if answers(t, f[0].addr) {
		t.Error("it accepts connections")
	}
	f.stop() // does no harm
}

func TestServerThatCannotStartSaysWhy(t *testing.T) {
	s := &server{addr: "192.0.2.1:1"} // not an address of this machine
	err := s.start(t.Context())
	if err == nil {
		s.stop()
		t.Fatal("it started")
	}
	if !strings.Contains(err.Error(), s.addr) || !strings.Contains(err.Error(), "cannot assign") {
		t.Errorf("error %v", err)
	}
}

// answers tells whether somebody accepts connections at addr.
func answers(t *testing.T, addr string) bool {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}
