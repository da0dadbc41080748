package thriftpool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

// multiplexed is Apache's processor with an Echo service of each name, which
// answers with its name before what it was asked, and the header "who" after it.
// seen gets the notes.
func multiplexed(seen func(name, note string), names ...string) thrift.TProcessor {
	mux := thrift.NewTMultiplexedProcessor()
	for _, name := range names {
		mux.RegisterProcessor(name, echo.NewEchoProcessor(&handler{
			onEcho: func(ctx context.Context, s string) (string, error) {
				if s == "throw" {
					return "", &echo.EchoError{Message: name}
				}
				who, _ := thrift.GetHeader(ctx, "who")
				return name + " " + s + " " + who, nil
			},
			onNote: func(s string) { seen(name, s) },
		}))
	}
	return mux
}

func TestServicesOfOneServerShareAPoolAndItsConnections(t *testing.T) {
	plain, conf := thrift.NewTTransportFactory(), &thrift.TConfiguration{}
	header := thrift.NewTHeaderProtocolFactoryConf(conf)
	for name, k := range map[string]struct {
		stack stack
		conf  Config
		who   string // the header that arrives
	}{
		"framed binary": {framedBinary(), Config{}, ""},
		"unframed compact": {
			stack{transport: plain, protocol: thrift.NewTCompactProtocolFactoryConf(conf)},
			Config{Transport: plain, Protocol: thrift.NewTCompactProtocolFactoryConf(conf)},
			"",
		},
		"framed JSON": {
			stack{transport: framedBinary().transport, protocol: thrift.NewTJSONProtocolFactory()},
			Config{Protocol: thrift.NewTJSONProtocolFactory()},
			"",
		},
		"THeader": {stack{transport: plain, protocol: header}, Config{Protocol: header}, "me"},
	} {
		t.Run(name, func(t *testing.T) {
			notes := make(chan string, 1)
			s := serveProcessor(t, k.stack, multiplexed(func(name, note string) { notes <- name + " " + note }, "Users", "Orders"))
			pool := newPool(t, k.conf, []string{s.addr()}, core.MaxActive(1))
			ctx := thrift.SetWriteHeaderList(thrift.SetHeader(t.Context(), "who", "me"), []string{"who"})
			for range 3 {
				for _, service := range []string{"Users", "Orders"} {
					c := echo.NewEchoClient(Client(pool, Service(service)))
					if got, err := c.Echo(ctx, "s"); err != nil || got != service+" s "+k.who {
						t.Errorf("%s answered %q, %v", service, got, err)
					}
					_, err := c.Echo(ctx, "throw")
					if e, ok := errors.AsType[*echo.EchoError](err); !ok || e.Message != service {
						t.Errorf("%s threw %v", service, err)
					}
					if err := c.Note(ctx, "n"); err != nil {
						t.Error(err)
					}
					if got := <-notes; got != service+" n" {
						t.Errorf("%s was noted as %q", service, got)
					}
				}
			}
			if n := s.accepted(); n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

func TestServicesAreCalledAtOnceFromManyGoroutines(t *testing.T) {
	names := []string{"A", "B", "C"}
	s := serveProcessor(t, framedBinary(), multiplexed(nil, names...))
	pool := newPool(t, Config{}, []string{s.addr()}, core.MaxActive(4))
	var wg sync.WaitGroup
	for _, name := range names {
		shared := Client(pool, Service(name))
		for g := range 4 {
			wg.Go(func() {
				for i := range 50 {
					s := fmt.Sprint(g, i)
					if got, err := echo.NewEchoClient(shared).Echo(t.Context(), s); err != nil || got != name+" "+s+" " {
						t.Errorf("%s answered %q to %q, %v", name, got, s, err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	if n := s.accepted(); n > 4 {
		t.Errorf("%d connections", n)
	}
}

func TestOptionsHaveThePlainNamesOfAServicesMethods(t *testing.T) {
	for _, option := range []Option{Idempotent("echo"), Hedged("echo")} {
		addr, requests := dying(t)
		pool := newPool(t, Config{}, []string{addr})
		routed := ""
		route := WithRoute(func(_ context.Context, method string, _ thrift.TStruct) []core.CallOption {
			routed = method
			return nil
		})
		_, err := echo.NewEchoClient(Client(pool, Service("Users"), option, route)).Echo(t.Context(), "s")
		if n := requests.Load(); n != DefaultAttempts || !errors.Is(err, io.EOF) {
			t.Errorf("sent %d times: %v", n, err)
		}
		if routed != "echo" {
			t.Errorf("the route is of %q", routed)
		}
		if e, ok := errors.AsType[*Error](err); !ok || e.Method != "Users:echo" || !strings.Contains(err.Error(), "Users:echo") {
			t.Errorf("%v does not name the service", err)
		}
	}
}

func TestAConnectionCallsServicesToo(t *testing.T) {
	s := serveProcessor(t, framedBinary(), multiplexed(nil, "Users"))
	pinged := make(chan error, 100)
	pool := newPool(t, Config{Ping: func(ctx context.Context, conn *Conn) error {
		err := echo.NewEchoClient(conn.Service("Users")).Ping(ctx)
		select {
		case pinged <- err:
		default:
		}
		return err
	}}, []string{s.addr()}, core.MaxActive(1), core.MinIdle(1))
	err := pool.Do(t.Context(), func(ctx context.Context, c *Conn) error {
		if err := c.Health(ctx); err != nil {
			return err
		}
		got, err := echo.NewEchoClient(c.Service("Users")).Echo(ctx, "s")
		if got != "Users s " {
			t.Errorf("got %q", got)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if err := <-pinged; err != nil {
		t.Errorf("ping: %v", err)
	}
	if n := s.accepted(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// Apache's processor closes the connection; the caller must not wait for its deadline.
func TestAServiceThatTheServerDoesNotHaveFailsAtOnce(t *testing.T) {
	s := serveProcessor(t, framedBinary(), multiplexed(nil, "Users"))
	ctx, cancel := context.WithTimeout(t.Context(), prototest.Patience)
	defer cancel()
	pool := newPool(t, Config{Timeout: -1}, []string{s.addr()})
	for _, c := range []thrift.TClient{Client(pool, Service("Nobody")), Client(pool)} {
		if _, err := echo.NewEchoClient(c).Echo(ctx, "s"); err == nil || ctx.Err() != nil {
			t.Errorf("got %v", err)
		}
	}
	if got, err := echo.NewEchoClient(Client(pool, Service("Users"))).Echo(ctx, "s"); err != nil || got != "Users s " {
		t.Errorf("afterwards %q, %v", got, err)
	}
}
