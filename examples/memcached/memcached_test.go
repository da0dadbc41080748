package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/examples/internal/process"
)

func start(t *testing.T) *process.Server {
	t.Helper()
	return process.Start(t, "memcached", func(port string) []string {
		return []string{"-l", "127.0.0.1", "-p", port, "-U", "0", "-u", "nobody"}
	})
}

func open(t *testing.T, addrs ...string) *Client {
	t.Helper()
	client, err := Open(static.Watcher(addrs...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := client.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := client.pool.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return client
}

func TestValuesComeBackAsTheyWere(t *testing.T) {
	client := open(t, start(t).Addr)
	for _, value := range []string{"", "hello", "\r\nEND\r\n", strings.Repeat("x", 100_000)} {
		if err := client.Set(t.Context(), "key", value); err != nil {
			t.Fatal(err)
		}
		if got, err := client.Get(t.Context(), "key"); err != nil || got != value {
			t.Errorf("set %.20q, got %.20q, %v", value, got, err)
		}
	}
	if _, err := client.Get(t.Context(), "none"); !errors.Is(err, ErrMiss) {
		t.Errorf("got %v", err)
	}
	if err := client.Set(t.Context(), "two words", ""); err == nil {
		t.Error("a key of two words")
	}
	if st := client.pool.Stats().Endpoints[0]; st.Dials != 1 {
		t.Errorf("%d dials", st.Dials)
	}
}

func TestEachKeyHasItsServerAndKeepsItWhenAnotherDies(t *testing.T) {
	servers := []*process.Server{start(t), start(t), start(t)}
	client := open(t, servers[0].Addr, servers[1].Addr, servers[2].Addr)
	only := map[string]*Client{} // of one server each
	for _, s := range servers {
		only[s.Addr] = open(t, s.Addr)
	}
	const keys = 300
	owned := map[string]int{}
	owner := map[string]string{}
	for i := range keys {
		key := fmt.Sprint("key", i)
		if err := client.Set(t.Context(), key, "value of "+key); err != nil {
			t.Fatal(err)
		}
		for _, s := range servers { // who has it?
			if _, err := only[s.Addr].Get(t.Context(), key); err == nil {
				owned[s.Addr]++
				owner[key] = s.Addr
			}
		}
	}
	for _, s := range servers {
		if n := owned[s.Addr]; n < keys/6 || n > keys/2 {
			t.Errorf("%d of %d keys are at %s", n, keys, s.Addr)
		}
	}
	servers[0].Kill()
	for key, addr := range owner {
		got, err := client.Get(t.Context(), key)
		switch {
		case addr == servers[0].Addr && !errors.Is(err, ErrMiss):
			t.Errorf("%s, whose server is gone: %q, %v", key, got, err)
		case addr != servers[0].Addr && (err != nil || got != "value of "+key):
			t.Errorf("%s, whose server is there: %q, %v", key, got, err)
		}
	}
}
