package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/examples/internal/process"
)

const password = "open sesame"

func start(t *testing.T) *process.Server {
	t.Helper()
	return process.Start(t, "redis-server", func(port string) []string {
		return []string{"--bind", "127.0.0.1", "--port", port, "--requirepass", password, "--save", "", "--appendonly", "no"}
	})
}

func open(t *testing.T, password, addr string, opts ...core.Option) *Client {
	t.Helper()
	client, err := Open(static.Watcher(addr), password, opts...)
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
	return client
}

func TestRepliesOfEachKind(t *testing.T) {
	client := open(t, password, start(t).Addr)
	for _, c := range []struct {
		args []string
		want any
	}{
		{[]string{"SET", "s", "binary \r\n and all"}, "OK"},
		{[]string{"GET", "s"}, "binary \r\n and all"},
		{[]string{"GET", "none"}, nil},
		{[]string{"INCR", "n"}, int64(1)},
		{[]string{"MGET", "s", "none"}, []any{"binary \r\n and all", nil}},
		{[]string{"KEYS", "no*"}, []any(nil)},
	} {
		if got, err := client.Do(t.Context(), c.args...); err != nil || fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", c.want) {
			t.Errorf("%q: got %#v, %v", c.args, got, err)
		}
	}
}

func TestARefusalKeepsTheConnection(t *testing.T) {
	client := open(t, password, start(t).Addr)
	for range 5 {
		if _, err := client.Do(t.Context(), "NONSENSE"); err == nil || !errors.As(err, new(Error)) {
			t.Errorf("got %v", err)
		}
	}
	if st := client.pool.Stats().Endpoints[0]; st.Dials != 1 {
		t.Errorf("%d dials", st.Dials)
	}
}

func TestAWrongPasswordIsToldByTheServer(t *testing.T) {
	_, err := open(t, "sesame", start(t).Addr).Do(t.Context(), "PING")
	if refusal, ok := errors.AsType[Error](err); !ok || !errors.Is(err, core.ErrUnavailable) {
		t.Errorf("got %v, %q", err, refusal)
	}
}

func TestManyCallersAndPipelines(t *testing.T) {
	client := open(t, password, start(t).Addr, core.MaxActive(4))
	const callers, rounds = 16, 50
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range rounds {
				replies, err := client.Pipeline(t.Context(), []string{"INCR", "n"}, []string{"INCR", "n"})
				if err != nil || len(replies) != 2 {
					t.Errorf("got %v, %v", replies, err)
				}
			}
		})
	}
	all.Wait()
	if got, err := client.Do(t.Context(), "GET", "n"); err != nil || got != strconv.Itoa(2*callers*rounds) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestAServerThatReturnsIsUsedAgain(t *testing.T) {
	server := start(t)
	client := open(t, password, server.Addr)
	for range 2 {
		if _, err := client.Do(t.Context(), "PING"); err != nil {
			t.Fatal(err)
		}
		server.Kill()
		if _, err := client.Do(t.Context(), "PING"); !errors.Is(err, core.ErrUnavailable) {
			t.Errorf("while it is gone: %v", err)
		}
		server.Start()
		if err := client.pool.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
