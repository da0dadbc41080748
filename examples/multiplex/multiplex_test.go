package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

func start(t *testing.T, answer func(string) string) *Server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := Serve(ln, answer)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func open(t *testing.T, callers int, addrs ...string) *Client {
	t.Helper()
	client, err := Open(static.Watcher(addrs...), callers)
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

// Each call waits in the server until all have arrived there.
func TestCallsShareOneConnectionAtTheSameTime(t *testing.T) {
	const callers = 50
	var arrived sync.WaitGroup
	arrived.Add(callers)
	client := open(t, callers, start(t, func(request string) string {
		arrived.Done()
		arrived.Wait()
		return "re: " + request
	}).Addr())
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			request := fmt.Sprint("caller ", i)
			if got, err := client.Call(t.Context(), request); err != nil || got != "re: "+request {
				t.Errorf("%s got %q, %v", request, got, err)
			}
		})
	}
	all.Wait()
	if st := client.pool.Stats().Endpoints[0]; st.Open != 1 {
		t.Errorf("%d connections", st.Open)
	}
}

func TestACallerWhoGivesUpHarmsNobody(t *testing.T) {
	arrived, hold := make(chan struct{}), make(chan struct{})
	client := open(t, 10, start(t, func(request string) string {
		if request == "slow" {
			close(arrived)
			<-hold
		}
		return request
	}).Addr())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { // ends with ctx
		_, err := client.Call(ctx, "slow")
		ended <- err
	}()
	<-arrived
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(hold) // its reply comes all the same
	for range 10 {
		if got, err := client.Call(t.Context(), "quick"); err != nil || got != "quick" {
			t.Errorf("got %q, %v", got, err)
		}
	}
	if st := client.pool.Stats().Endpoints[0]; st.Dials != 1 {
		t.Errorf("%d dials", st.Dials)
	}
}

func TestAServerThatDiesFailsTheCallsUnderWayAndNoOther(t *testing.T) {
	arrived, hold := make(chan string, 1), make(chan struct{})
	var servers [2]*Server
	for i := range servers {
		servers[i] = start(t, func(request string) string {
			if request == "slow" {
				arrived <- servers[i].Addr()
				<-hold
			}
			return request
		})
	}
	client := open(t, 10, servers[0].Addr(), servers[1].Addr())
	ended := make(chan error)
	go func() { // ends with its server
		_, err := client.Call(context.Background(), "slow")
		ended <- err
	}()
	addr := <-arrived
	for _, s := range servers {
		if s.Addr() == addr {
			s.mu.Lock() // Close would wait for the answer
			_ = s.ln.Close()
			for nc := range s.conns {
				_ = nc.Close()
			}
			s.mu.Unlock()
		}
	}
	if err := <-ended; !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
	for range 50 {
		if got, err := client.Call(t.Context(), "quick"); err != nil || got != "quick" {
			t.Errorf("got %q, %v", got, err)
		}
	}
	close(hold)
}

func TestTheProgramRuns(t *testing.T) {
	if err := run(t.Context(), 2, 20); err != nil {
		t.Error(err)
	}
}
