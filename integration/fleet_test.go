package integration

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

// server is a Thrift server that registers itself.
type server struct {
	addr         string
	registration *discovery.Registration // nil if it does not
}

// startServer serves on a free port until the test ends.
func startServer(t *testing.T) *server {
	t.Helper()
	socket, err := thrift.NewTServerSocket("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := socket.Listen(); err != nil {
		t.Fatal(err)
	}
	s := &server{addr: socket.Addr().String()}
	simple := thrift.NewTSimpleServer4(
		echo.NewEchoProcessor(echoer{addr: s.addr}),
		socket,
		thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), nil),
		thrift.NewTBinaryProtocolFactoryConf(nil),
	)
	var serving sync.WaitGroup
	serving.Go(func() { _ = simple.Serve() })
	t.Cleanup(func() {
		_ = simple.Stop()
		serving.Wait()
	})
	return s
}

// echoer answers with its address.
type echoer struct {
	echo.Service
	addr string
}

func (e echoer) Echo(context.Context, string) (string, error) { return e.addr, nil }

// registerAt registers the server until the test ends.
func (s *server) registerAt(t *testing.T, url string, opts ...discovery.RegisterOption) {
	t.Helper()
	r, err := mux.OpenRegistrar(url)
	if err != nil {
		t.Fatal(err)
	}
	if s.registration, err = discovery.Register(r, core.Endpoint{Addr: s.addr}, opts...); err != nil {
		t.Fatal(err)
	}
	registered := server{addr: s.addr, registration: s.registration}
	t.Cleanup(func() { registered.deregister(t) })
}

func (s *server) deregister(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.registration.Close(ctx); err != nil {
		t.Errorf("server %s: %v", s.addr, err)
	}
}

// startFleet starts n servers that are registered at url, when that is not
// empty.
func startFleet(t *testing.T, n int, url string) []*server {
	t.Helper()
	var fleet []*server
	for range n {
		s := startServer(t)
		fleet = append(fleet, s)
		if url != "" {
			s.registerAt(t, url)
		}
	}
	return fleet
}

// awaitRegistered waits until all of the fleet is registered.
func awaitRegistered(t *testing.T, fleet []*server, limit time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for _, s := range fleet {
		if s.registration == nil {
			continue
		}
		if err := s.registration.Wait(ctx); err != nil {
			t.Fatalf("server %s: %v", s.addr, err)
		}
	}
}

func addrs(fleet []*server) []string {
	var all []string
	for _, s := range fleet {
		all = append(all, s.addr)
	}
	return all
}

func endpoints(addrs ...string) []core.Endpoint {
	var eps []core.Endpoint
	for _, a := range addrs {
		eps = append(eps, core.Endpoint{Addr: a})
	}
	return eps
}
