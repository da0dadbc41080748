package thriftpool

import (
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

func TestARequestTooLargeForAFrameIsRefusedAndCostsNoConnection(t *testing.T) {
	const most = 4096
	conf := &thrift.TConfiguration{MaxFrameSize: most}
	plain, framed := thrift.NewTTransportFactory(), framedBinary().transport
	for name, k := range map[string]struct {
		server    thrift.TTransportFactory
		transport thrift.TTransportFactory
		protocol  thrift.TProtocolFactory
	}{
		"our frames, binary":      {framed, nil, thrift.NewTBinaryProtocolFactoryConf(conf)},
		"our frames, compact":     {framed, nil, thrift.NewTCompactProtocolFactoryConf(conf)},
		"our frames, JSON":        {framed, nil, thrift.NewTJSONProtocolFactory()},
		"Apache's frames, binary": {framed, thrift.NewTFramedTransportFactoryConf(plain, conf), thrift.NewTBinaryProtocolFactoryConf(conf)},
		"Apache's frames, JSON":   {framed, thrift.NewTFramedTransportFactoryConf(plain, conf), thrift.NewTJSONProtocolFactory()},
		"THeader":                 {plain, nil, thrift.NewTHeaderProtocolFactoryConf(conf)},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, stack{transport: k.server, protocol: k.protocol}, &handler{})
			o := new(outcomes)
			c := newClient(t, Config{Transport: k.transport, Protocol: k.protocol, Thrift: conf},
				[]string{s.addr()}, Idempotent("*"), o.option())
			for range 3 {
				_, err := c.Echo(t.Context(), strings.Repeat("x", 2*most))
				e, ok := errors.AsType[*Error](err)
				if !ok || e.Outcome != balance.OutcomeNeutral || e.Attempts != 1 {
					t.Fatalf("got %#v", err)
				}
				if pe, ok := errors.AsType[thrift.TProtocolException](err); !ok || pe.TypeId() != thrift.SIZE_LIMIT {
					t.Errorf("%v is no SIZE_LIMIT", err)
				}
				want := strings.Repeat("x", most/2)
				if got, err := c.Echo(t.Context(), want); err != nil || got != want {
					t.Errorf("afterwards: %d bytes, %v", len(got), err)
				}
			}
			if n := s.accepted(); n != 1 {
				t.Errorf("%d connections", n)
			}
			if got := o.take(); slices.Contains(got, balance.OutcomeFailure) {
				t.Errorf("the server is reported with %v", got)
			}
		})
	}
}

// outcomes collects what a client reports.
type outcomes struct {
	mu  sync.Mutex
	all []balance.Outcome
}

func (o *outcomes) option() Option {
	return WithClassifier(func(_ error, outcome balance.Outcome) balance.Outcome {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.all = append(o.all, outcome)
		return outcome
	})
}

func (o *outcomes) take() []balance.Outcome {
	o.mu.Lock()
	defer o.mu.Unlock()
	got := o.all
	o.all = nil
	return got
}

// limited is a stack whose servers accept frames of up to 256 KB: they close the
// connection of a larger one without reading it.
func limited() stack {
	conf := &thrift.TConfiguration{MaxFrameSize: 256 << 10}
	return stack{
		transport: thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), conf),
		protocol:  thrift.NewTBinaryProtocolFactoryConf(conf),
	}
}

func TestARequestThatServersRefuseForItsSizeIsNoFailureOfTheirs(t *testing.T) {
	var servers []*server
	var addrs []string
	for range 3 {
		s := serve(t, limited(), &handler{})
		servers, addrs = append(servers, s), append(addrs, s.addr())
	}
	pool := newPool(t, Config{}, addrs)
	o := new(outcomes)
	c := echo.NewEchoClient(Client(pool, Idempotent("*"), o.option()))
	large := strings.Repeat("x", 1<<20)
	const calls = 20
	for range calls {
		_, err := c.Echo(t.Context(), large)
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Outcome != balance.OutcomeNeutral || e.Attempts > 2 || !strings.Contains(err.Error(), "more than it may accept") {
			t.Fatalf("got %v", err)
		}
		if got := o.take(); len(got) > 2 || slices.Contains(got, balance.OutcomeFailure) {
			t.Fatalf("the servers are reported with %v", got)
		}
		for range 3 {
			if got, err := c.Echo(t.Context(), "s"); err != nil || got != "s" {
				t.Fatalf("a small call: %q, %v", got, err)
			}
		}
		o.take()
	}
	for _, e := range pool.Stats().Endpoints {
		if e.Ejected {
			t.Errorf("%s is ejected", e.Endpoint.Addr)
		}
	}
	opened := 0
	for _, s := range servers {
		opened += s.accepted()
	}
	if opened > 2*calls+3 {
		t.Errorf("%d connections for %d requests that were refused", opened, calls)
	}
}

func TestALargeRequestGoesToTheServerThatAcceptsIt(t *testing.T) {
	small, big := serve(t, limited(), &handler{}), serve(t, framedBinary(), &handler{})
	pool := newPool(t, Config{}, []string{small.addr(), big.addr()}, core.WithBalancer(prefer(small.addr())))
	large := strings.Repeat("x", 1<<20)
	got, err := echo.NewEchoClient(Client(pool, Idempotent("*"))).Echo(t.Context(), large)
	if err != nil || got != large {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestALargeRequestIsAsAnyOtherOnceOneOfItsSizeWasAnswered(t *testing.T) {
	var dead atomic.Bool
	var requests atomic.Int32
	large := strings.Repeat("x", 1<<20)
	addr := prototest.Listen(t, func(nc net.Conn) {
		for {
			r, ok := next(nc)
			if !ok {
				return
			}
			requests.Add(1)
			if dead.Load() || !answer(nc, frame(reply(t, r.method, thrift.REPLY, r.seq, said(large)))) {
				return
			}
		}
	})
	o := new(outcomes)
	c := newClient(t, Config{}, []string{addr}, Idempotent("*"), o.option())
	if _, err := c.Echo(t.Context(), large); err != nil {
		t.Fatal(err)
	}
	dead.Store(true)
	requests.Store(0)
	o.take()
	_, err := c.Echo(t.Context(), large)
	if got := o.take(); err == nil || requests.Load() != DefaultAttempts || slices.ContainsFunc(got, func(o balance.Outcome) bool { return o != balance.OutcomeFailure }) {
		t.Errorf("%d attempts are reported with %v: %v", requests.Load(), got, err)
	}
}
