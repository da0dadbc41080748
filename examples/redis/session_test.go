package main

import (
	"fmt"
	"net"
	"testing"

	"github.com/minicaptain/multi_connection_pool/core"
)

func TestNoCallerFindsTheSessionOfAnother(t *testing.T) {
	server := start(t)
	for _, c := range []struct {
		before []string
		want   any
	}{
		{[]string{"MULTI"}, "mine"},
		{[]string{"SELECT", "1"}, "mine"},
		{[]string{"SUBSCRIBE", "news"}, "mine"},
		{[]string{"CLIENT", "REPLY", "ON"}, "mine"},
		{[]string{"WATCH", "key"}, "mine"},
	} {
		t.Run(c.before[0], func(t *testing.T) {
			client := open(t, password, server.Addr, core.MaxActive(1))
			other := open(t, password, server.Addr)
			if _, err := client.Do(t.Context(), "SET", "key", "mine"); err != nil {
				t.Fatal(err)
			}
			for range 20 {
				if _, err := client.Do(t.Context(), c.before...); err != nil {
					t.Fatal(err)
				}
				if _, err := other.Do(t.Context(), "PUBLISH", "news", "unasked"); err != nil {
					t.Fatal(err)
				}
				if got, err := client.Do(t.Context(), "GET", "key"); err != nil || got != c.want {
					t.Fatalf("GET after %q: %#v, %v", c.before, got, err)
				}
			}
		})
	}
}

// CLIENT KILL closes connections that are idle, also while they were in use a moment
// ago.
func TestAKilledConnectionCostsNoCall(t *testing.T) {
	server := start(t)
	client, admin := open(t, password, server.Addr, core.MaxActive(1)), open(t, password, server.Addr)
	for range 50 {
		if _, err := client.Do(t.Context(), "SET", "key", "value"); err != nil {
			t.Fatal(err)
		}
		if n, err := admin.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"); err != nil || n == int64(0) {
			t.Fatalf("killed %v, %v", n, err)
		}
	}
}

// A server at its limit of clients closes what it accepts, with a refusal. That
// fails dials, and no call gets the refusal for its answer.
func TestAServerWithTooManyClientsRefusesTheDial(t *testing.T) {
	server := start(t)
	admin := open(t, password, server.Addr, core.MaxActive(1))
	if _, err := admin.Do(t.Context(), "CONFIG", "SET", "maxclients", "2"); err != nil {
		t.Fatal(err)
	}
	other, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if _, err := admin.Do(t.Context(), "PING"); err != nil { // Redis has seen the other by now
		t.Fatal(err)
	}
	client := open(t, password, server.Addr)
	if got, err := client.Do(t.Context(), "GET", "key"); err == nil {
		t.Errorf("got %v from a server that has too many clients", fmt.Sprintf("%#v", got))
	}
}
