package thriftpool

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

// exercise makes the calls that a stack must carry, twice over one connection.
func exercise(t *testing.T, s *server, conf Config) {
	t.Helper()
	c := newClient(t, conf, []string{s.addr()})
	for range 2 {
		for _, size := range []int{0, 1, 63, 64, 65, 511, 512, 4096, 100_000} {
			ctx, cancel := context.WithTimeout(t.Context(), prototest.Patience)
			want := strings.Repeat("x", size)
			if got, err := c.Echo(ctx, want); err != nil || got != want {
				t.Fatalf("echo of %d bytes: %d bytes, %v", size, len(got), err)
			}
			m := &echo.Message{Text: want, Numbers: make([]int64, size/8)}
			if got, err := c.Send(ctx, m); err != nil || got.Text != want || len(got.Numbers) != size/8 {
				t.Fatalf("send of %d bytes: %v", size, err)
			}
			cancel()
		}
		if sum, err := c.Add(t.Context(), -1, 1<<40); err != nil || sum != 1<<40-1 {
			t.Fatalf("add: %d, %v", sum, err)
		}
		if err := c.Ping(t.Context()); err != nil {
			t.Fatalf("ping: %v", err)
		}
		if err := c.Note(t.Context(), "n"); err != nil {
			t.Fatalf("note: %v", err)
		}
		_, err := c.Echo(t.Context(), "throw")
		if _, ok := errors.AsType[*echo.EchoError](err); !ok {
			t.Fatalf("an exception came as %v", err)
		}
	}
	if n := s.accepted(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestEveryStackCarriesCalls(t *testing.T) {
	conf := &thrift.TConfiguration{}
	plain := thrift.NewTTransportFactory()
	apacheFramed := thrift.NewTFramedTransportFactoryConf(plain, conf)
	buffered := thrift.NewTBufferedTransportFactory(4096)
	protocols := map[string]thrift.TProtocolFactory{
		"default": nil,
		"binary":  thrift.NewTBinaryProtocolFactoryConf(conf),
		"compact": thrift.NewTCompactProtocolFactoryConf(conf),
		"JSON":    thrift.NewTJSONProtocolFactory(),
	}
	transports := map[string]struct{ server, client thrift.TTransportFactory }{
		"our frames":               {apacheFramed, nil},
		"Apache's frames":          {apacheFramed, apacheFramed},
		"Apache's buffered frames": {apacheFramed, thrift.NewTFramedTransportFactoryConf(buffered, conf)},
		"no frames":                {buffered, plain},
		"Apache's buffer":          {buffered, buffered},
		"zlib":                     {thrift.NewTZlibTransportFactory(6), thrift.NewTZlibTransportFactory(6)},
	}
	for pn, p := range protocols {
		for tn, tr := range transports {
			t.Run(pn+" over "+tn, func(t *testing.T) {
				st := stack{transport: tr.server, protocol: p}
				if p == nil {
					st.protocol = protocols["binary"]
				}
				exercise(t, serve(t, st, &handler{}), Config{Protocol: p, Transport: tr.client})
			})
		}
	}
}

func TestTHeaderCarriesCallsAndHeaders(t *testing.T) {
	for _, id := range []thrift.THeaderProtocolID{thrift.THeaderProtocolBinary, thrift.THeaderProtocolCompact} {
		for _, trans := range []thrift.TTransportFactory{nil, thrift.NewTTransportFactory()} {
			for _, zlib := range []bool{false, true} {
				conf := &thrift.TConfiguration{THeaderProtocolID: thrift.THeaderProtocolIDPtrMust(id)}
				if zlib {
					conf.THeaderTransforms = []thrift.THeaderTransformID{thrift.TransformZlib}
				}
				h := &handler{}
				st := stack{transport: thrift.NewTTransportFactory(), protocol: thrift.NewTHeaderProtocolFactoryConf(&thrift.TConfiguration{})}
				s := serve(t, st, h)
				cc := Config{Protocol: thrift.NewTHeaderProtocolFactoryConf(conf), Transport: trans, Thrift: conf}
				exercise(t, s, cc)

				h2 := &handler{onEcho: func(ctx context.Context, s string) (string, error) {
					v, _ := thrift.GetHeader(ctx, s)
					if help, ok := thrift.GetResponseHelper(ctx); ok {
						help.SetHeader("answer", v)
					}
					return v, nil
				}}
				s = serve(t, st, h2)
				c := newClient(t, cc, []string{s.addr()})
				ctx := thrift.SetHeader(t.Context(), "who", "me")
				ctx = thrift.SetWriteHeaderList(ctx, []string{"who"})
				if got, err := c.Echo(ctx, "who"); err != nil || got != "me" {
					t.Errorf("the header came as %q, %v", got, err)
				}
				if got := c.LastResponseMeta_().Headers["answer"]; got != "me" {
					t.Errorf("the answer's header came as %q", got)
				}
			}
		}
	}
}

func TestUnixSocketsCarryCalls(t *testing.T) {
	path := filepath.Join(t.TempDir(), "echo.sock")
	ln, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	exercise(t, serveOn(t, ln, framedBinary(), echo.NewEchoProcessor(&handler{})), Config{})
}

// secure returns what a server and its clients need for TLS.
func secure(t *testing.T, version uint16) (stack, *tls.Config) {
	t.Helper()
	st := framedBinary()
	var client *tls.Config
	st.tls, client = prototest.TLS(t, version)
	return st, client
}

func TestTLSCarriesCalls(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		st, conf := secure(t, version)
		exercise(t, serve(t, st, &handler{}), Config{TLS: conf})
		exercise(t, serve(t, st, &handler{}), Config{Thrift: &thrift.TConfiguration{TLSConfig: conf}})

		path := filepath.Join(t.TempDir(), "echo.sock")
		ln, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
		if err != nil {
			t.Fatal(err)
		}
		named := conf.Clone()
		named.ServerName = prototest.ServerName
		exercise(t, serveOn(t, ln, st, echo.NewEchoProcessor(&handler{})), Config{TLS: named})
	}
}

func TestTLSVerifiesTheServerOfEachEndpoint(t *testing.T) {
	st, conf := secure(t, tls.VersionTLS13)
	s := serve(t, st, &handler{})
	other := conf.Clone()
	other.ServerName = "other.test"
	named := conf.Clone()
	named.ServerName = prototest.ServerName
	exercise(t, s, Config{TLS: named, TLSNames: []string{"*.test"}})
	_, port, _ := net.SplitHostPort(s.addr())
	for _, c := range []struct {
		name, addr string
		conf       *tls.Config
		want       string
		names      []string
	}{
		{"the host of the address is not in the certificate", "localhost:" + port, conf, "certificate", nil},
		{"the configured name is not in the certificate", s.addr(), other, "certificate", nil},
		{"a socket has no host", "unix:/nowhere", conf, "nowhere", nil},
		{"the host of the address is in the certificate, and not foreseen", s.addr(), conf, "TLSNames", []string{"*.test"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := newClient(t, Config{TLS: c.conf, TLSNames: c.names}, []string{c.addr}).Echo(t.Context(), "s")
			te, ok := errors.AsType[thrift.TTransportException](err)
			if !ok || te.TypeId() != thrift.NOT_OPEN || !errors.Is(err, core.ErrUnavailable) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAMistakeInTheConfigIsReportedByNew(t *testing.T) {
	id := thrift.THeaderProtocolID(77)
	framed := thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), &thrift.TConfiguration{})
	for _, c := range []struct {
		conf Config
		want string
	}{
		{Config{}, ""},
		{Config{Timeout: -1}, ""},
		{Config{Protocol: protocolFunc(func(thrift.TTransport) thrift.TProtocol { return nil })}, "Protocol factory returned nil"},
		{Config{Transport: transportFunc(func(thrift.TTransport) (thrift.TTransport, error) { return nil, nil })}, "Transport factory returned nil"},
		{Config{Transport: transportFunc(func(thrift.TTransport) (thrift.TTransport, error) {
			return nil, errors.New("boom")
		})}, "Transport factory: boom"},
		{Config{Protocol: thrift.NewTHeaderProtocolFactoryConf(nil), Transport: framed}, "THeader has frames of its own"},
		{Config{Thrift: &thrift.TConfiguration{THeaderProtocolID: &id}}, "THeaderProtocolID 77"},
		{Config{TLS: &tls.Config{}, Thrift: &thrift.TConfiguration{TLSConfig: &tls.Config{}}}, "TLS and Thrift.TLSConfig"},
		{Config{TLSNames: []string{"a"}}, "TLSNames without TLS"},
		{Config{TLSNames: []string{"a"}, Thrift: &thrift.TConfiguration{TLSConfig: &tls.Config{}}}, ""},
	} {
		pool, err := core.New(endpoints("127.0.0.1:1"), Dial(c.conf))
		if err == nil {
			if err := pool.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("want %q, got %v", c.want, err)
		}
	}
}

type protocolFunc func(thrift.TTransport) thrift.TProtocol

func (f protocolFunc) GetProtocol(t thrift.TTransport) thrift.TProtocol { return f(t) }

type transportFunc func(thrift.TTransport) (thrift.TTransport, error)

func (f transportFunc) GetTransport(t thrift.TTransport) (thrift.TTransport, error) { return f(t) }

func TestEachFieldOfTheConfigIsRead(t *testing.T) {
	s := serve(t, framedBinary(), &handler{})
	silent, _ := mute(t)

	dialed := 0
	c := newClient(t, Config{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialed++
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}, []string{s.addr()})
	if err := c.Ping(t.Context()); err != nil || dialed != 1 {
		t.Errorf("DialContext: %d dials, %v", dialed, err)
	}

	for _, conf := range []Config{
		{Timeout: 10 * time.Millisecond},
		{Thrift: &thrift.TConfiguration{SocketTimeout: 10 * time.Millisecond}},
		{Timeout: 10 * time.Millisecond, Thrift: &thrift.TConfiguration{SocketTimeout: time.Hour}},
	} {
		begun := time.Now()
		if err := newClient(t, conf, []string{silent}).Ping(t.Context()); err == nil || time.Since(begun) > prototest.Patience/2 {
			t.Errorf("%+v: %v after %v", conf, err, time.Since(begun))
		}
	}

	big := strings.Repeat("x", 2000)
	small := &thrift.TConfiguration{MaxFrameSize: 1000, MaxMessageSize: 1000}
	apache := thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), &thrift.TConfiguration{})
	for _, conf := range []Config{
		{Thrift: small},
		{Thrift: small, Protocol: thrift.NewTBinaryProtocolFactoryConf(&thrift.TConfiguration{})},
		{Thrift: small, Transport: apache},
		{Protocol: thrift.NewTBinaryProtocolFactoryConf(small)},
	} {
		_, err := newClient(t, conf, []string{s.addr()}).Echo(t.Context(), big)
		if _, ok := errors.AsType[thrift.TProtocolException](err); !ok {
			t.Errorf("a message of 2000 bytes: %v", err)
		}
	}
}

func TestPingChecksIdleConnections(t *testing.T) {
	s := serve(t, framedBinary(), &handler{})
	pings := make(chan error, 100)
	fail := make(chan error, 1)
	pool := newPool(t, Config{Ping: func(ctx context.Context, conn *Conn) error {
		err := echo.NewEchoClient(conn).Ping(ctx)
		select {
		case e := <-fail:
			err = e
		default:
		}
		pings <- err
		return err
	}}, []string{s.addr()}, core.MaxActive(1), core.MinIdle(1), core.HealthCheckInterval(40*time.Millisecond))
	if err := pool.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-pings; err != nil {
			t.Fatal(err)
		}
	}
	if s.accepted() != 1 {
		t.Errorf("%d connections", s.accepted())
	}
	fail <- errors.New("ill")
	for <-pings == nil {
	}
	if err := <-pings; err != nil { // of a new connection
		t.Error(err)
	}
	if s.accepted() != 2 {
		t.Errorf("%d connections after a ping that failed", s.accepted())
	}
}

func TestWithoutPingHealthIsFine(t *testing.T) {
	if err := new(Conn).Health(t.Context()); err != nil {
		t.Error(err)
	}
}
