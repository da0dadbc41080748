package thriftpool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

func TestAGeneratedClientWorksUnchanged(t *testing.T) {
	notes := make(chan string, 1)
	s := serve(t, framedBinary(), &handler{onNote: func(s string) { notes <- s }})
	c := newClient(t, Config{}, []string{s.addr()})
	ctx := t.Context()

	if got, err := c.Echo(ctx, "hello"); err != nil || got != "hello" {
		t.Errorf("echo: %q, %v", got, err)
	}
	if got, err := c.Add(ctx, 1<<40, 2); err != nil || got != 1<<40+2 {
		t.Errorf("add: %d, %v", got, err)
	}
	m := &echo.Message{Text: strings.Repeat("x", 1<<20), Numbers: []int64{1, -2}}
	if got, err := c.Send(ctx, m); err != nil || !got.Equals(m) {
		t.Errorf("send: %v", err)
	}
	if err := c.Ping(ctx); err != nil {
		t.Errorf("ping: %v", err)
	}
	if err := c.Note(ctx, "remember"); err != nil {
		t.Errorf("note: %v", err)
	}
	if got := <-notes; got != "remember" {
		t.Errorf("noted %q", got)
	}
	_, err := c.Echo(ctx, "throw it")
	if _, ok := err.(*echo.EchoError); !ok { //nolint:errorlint // it must come as it is
		t.Errorf("an exception of the IDL came as %T %v", err, err)
	}
	if n := s.accepted(); n != 1 {
		t.Errorf("%d connections for calls in sequence", n)
	}
}

// Generated clients are made per call, as the package's documentation says;
// this is what the race detector is to agree with.
func TestManyGoroutinesShareOneClient(t *testing.T) {
	header := thrift.NewTHeaderProtocolFactoryConf(nil)
	withHeader := stack{transport: thrift.NewTTransportFactory(), protocol: header}
	for name, k := range map[string]struct {
		stack stack
		conf  Config
		opts  []Option
	}{
		"plain":   {framedBinary(), Config{}, nil},
		"hedged":  {framedBinary(), Config{}, []Option{Hedged("*")}},
		"THeader": {withHeader, Config{Protocol: header}, []Option{Idempotent("*")}},
	} {
		t.Run(name, func(t *testing.T) {
			var addrs []string
			for range 3 {
				addrs = append(addrs, serve(t, k.stack, &handler{}).addr())
			}
			shared := Client(newPool(t, k.conf, addrs), k.opts...)
			var wg sync.WaitGroup
			for g := range 16 {
				wg.Go(func() {
					for i := range 100 {
						want, c := fmt.Sprint(g, i), echo.NewEchoClient(shared)
						got, err := c.Echo(t.Context(), want)
						if err != nil || got != want {
							t.Errorf("got %q, %v; want %q", got, err, want)
							return
						}
						_ = c.LastResponseMeta_()
					}
				})
			}
			wg.Wait()
		})
	}
}

func TestMiddlewareWrapsTheClient(t *testing.T) {
	s := serve(t, framedBinary(), &handler{})
	var seen []string
	spy := func(next thrift.TClient) thrift.TClient {
		return thrift.WrappedTClient{Wrapped: func(ctx context.Context, method string, args, result thrift.TStruct) (thrift.ResponseMeta, error) {
			meta, err := next.Call(ctx, method, args, result)
			seen = append(seen, fmt.Sprint(method, " ", err))
			return meta, err
		}}
	}
	c := echo.NewEchoClient(thrift.WrapClient(Client(newPool(t, Config{}, []string{s.addr()})),
		spy, thrift.ExtractIDLExceptionClientMiddleware))
	_, _ = c.Echo(t.Context(), "a")
	_, _ = c.Echo(t.Context(), "throw")
	want := []string{"echo <nil>", "echo EchoError({Message:throw})"}
	if len(seen) != 2 || seen[0] != want[0] || seen[1] != want[1] {
		t.Errorf("seen %q, want %q", seen, want)
	}
}

// badReply is a server whose first connection answers each request with what
// bad makes of it, and whose further connections answer well. It returns the
// address and the count of connections.
func badReply(t *testing.T, bad func(r request) []byte) (string, *atomic.Int32) {
	t.Helper()
	var conns atomic.Int32
	return prototest.Listen(t, func(nc net.Conn) {
		first := conns.Add(1) == 1
		for {
			r, ok := next(nc)
			if !ok {
				return
			}
			b := frame(reply(t, r.method, thrift.REPLY, r.seq, said("well")))
			if first {
				b = bad(r)
			}
			if !answer(nc, b) {
				return
			}
		}
	}), &conns
}

func TestWhatAServerAnswersDecidesOnItsConnection(t *testing.T) {
	exception := func(kind int32) func(request) []byte {
		return func(r request) []byte {
			return frame(reply(t, r.method, thrift.EXCEPTION, r.seq, thriftException{thrift.NewTApplicationException(kind, "no")}))
		}
	}
	good := func(r request) string { return reply(t, r.method, thrift.REPLY, r.seq, said("well")) }
	type result struct {
		keep bool
		app  int32 // type of the TApplicationException; -1 = none, -2 = another error
	}
	cases := map[string]struct {
		bad  func(request) []byte
		want result
	}{
		"a reply": {func(r request) []byte { return frame(good(r)) }, result{true, -1}},
		"an exception of the IDL": {func(r request) []byte {
			return frame(reply(t, r.method, thrift.REPLY, r.seq, &echo.EchoEchoResult{E: &echo.EchoError{Message: "no"}}))
		}, result{true, -2}},
		"bytes left in the frame": {func(r request) []byte { return frame(good(r) + "x") }, result{false, -1}},
		"bytes behind the frame":  {func(r request) []byte { return append(frame(good(r)), 'x') }, result{false, -1}},
		"a second reply":          {func(r request) []byte { return append(frame(good(r)), frame(good(r))...) }, result{false, -1}},
		"a frame that is too short": {func(r request) []byte {
			g := good(r)
			return append(frame(g[:len(g)-3]), g[len(g)-3:]...)
		}, result{false, -2}},
		"the wrong sequence id": {func(r request) []byte {
			r.seq++
			return frame(good(r))
		}, result{false, thrift.BAD_SEQUENCE_ID}},
		"the wrong method": {func(r request) []byte {
			r.method = "other"
			return frame(good(r))
		}, result{false, thrift.WRONG_METHOD_NAME}},
		"the wrong kind of message": {func(r request) []byte {
			return frame(reply(t, r.method, thrift.CALL, r.seq, said("well")))
		}, result{false, thrift.INVALID_MESSAGE_TYPE_EXCEPTION}},
		"an empty frame":             {func(request) []byte { return []byte{0, 0, 0, 0, 0} }, result{false, -2}},
		"a frame of 2 GB":            {func(request) []byte { return []byte{0x7f, 0xff, 0xff, 0xff, 0x80} }, result{false, -2}},
		"a frame of negative length": {func(request) []byte { return []byte{0xff, 0xff, 0xff, 0xff, 0x80} }, result{false, -2}},
		"noise":                      {func(request) []byte { return frame("this is not Thrift") }, result{false, -2}},
		"HTTP":                       {func(request) []byte { return []byte("HTTP/1.1 400 Bad Request\r\n\r\n") }, result{false, -2}},
	}
	for kind := int32(0); kind <= 12; kind++ {
		_, keep := judgeApplication(kind)
		cases[fmt.Sprintf("TApplicationException %d", kind)] = struct {
			bad  func(request) []byte
			want result
		}{exception(kind), result{keep, kind}}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			addr, conns := badReply(t, c.bad)
			client := newClient(t, Config{Timeout: prototest.Patience}, []string{addr}, Idempotent("*"))
			_, err := client.Echo(t.Context(), "s")
			app, isApp := errors.AsType[thrift.TApplicationException](err)
			switch c.want.app {
			case -1:
				if err != nil {
					t.Errorf("failed: %v", err)
				}
			case -2:
				if err == nil || isApp {
					t.Errorf("got %v", err)
				}
			default:
				if !isApp || app.TypeId() != c.want.app {
					t.Errorf("got %v", err)
				}
				if e, ok := errors.AsType[*Error](err); !ok || e.Endpoint != addr || e.Method != "echo" || e.Attempts != 1 {
					t.Errorf("got %#v", err)
				}
			}
			if n := conns.Load(); n != 1 {
				t.Errorf("sent again, on %d connections, although the reply had begun", n)
			}
			got, err := client.Echo(t.Context(), "s")
			if kept := conns.Load() == 1; kept != c.want.keep {
				t.Errorf("kept the connection: %v", kept)
			}
			if !c.want.keep && (err != nil || got != "well") {
				t.Errorf("the next call got %q, %v", got, err)
			}
		})
	}
}

// thriftException is a TApplicationException as a TStruct.
type thriftException struct{ thrift.TApplicationException }

func (e thriftException) Read(ctx context.Context, p thrift.TProtocol) error {
	return e.TApplicationException.Read(ctx, p)
}

func TestArgumentsThatCannotBeEncodedHarmNobody(t *testing.T) {
	s := serve(t, framedBinary(), &handler{})
	conf := Config{Thrift: &thrift.TConfiguration{MaxFrameSize: 1000}}
	var reports []balance.Outcome
	pool := newPool(t, conf, []string{s.addr()}, core.MaxActive(1), core.WithBalancer(spyBalancer(func(r balance.Report) { reports = append(reports, r.Outcome) })))
	c := echo.NewEchoClient(Client(pool, Idempotent("*")))
	_, err := c.Echo(t.Context(), strings.Repeat("x", 2000))
	if pe, ok := errors.AsType[thrift.TProtocolException](err); !ok || pe.TypeId() != thrift.SIZE_LIMIT {
		t.Errorf("got %v", err)
	}
	if len(reports) != 1 || reports[0] != balance.OutcomeNeutral {
		t.Errorf("reported %v", reports)
	}
	if got, err := c.Echo(t.Context(), "small"); err != nil || got != "small" {
		t.Errorf("the next call got %q, %v", got, err)
	}

	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic of the encoding was swallowed")
			}
		}()
		_, _ = Client(pool).Call(t.Context(), "echo", panicking{}, panicking{})
	}()
	if got, err := c.Echo(t.Context(), "again"); err != nil || got != "again" {
		t.Errorf("the call after a panic got %q, %v", got, err)
	}
}

// panicking is a TStruct that panics, as generated code does on some nils.
type panicking struct{}

func (panicking) Write(context.Context, thrift.TProtocol) error { panic("nil") }
func (panicking) Read(context.Context, thrift.TProtocol) error  { panic("nil") }

func TestAOnewayCallKeepsItsConnectionAndIsNotReported(t *testing.T) {
	notes := make(chan string, 10)
	s := serve(t, framedBinary(), &handler{onNote: func(s string) { notes <- s }})
	var reports atomic.Int32
	pool := newPool(t, Config{}, []string{s.addr()}, core.MaxActive(1), core.WithBalancer(spyBalancer(func(balance.Report) { reports.Add(1) })))
	c := echo.NewEchoClient(Client(pool))
	for range 10 {
		if err := c.Note(t.Context(), "n"); err != nil {
			t.Fatal(err)
		}
		<-notes
	}
	if reports.Load() != 0 || s.accepted() != 1 {
		t.Errorf("%d reports, %d connections", reports.Load(), s.accepted())
	}
}

func TestAnAnswerToAOnewayCallIsNotTakenForTheNext(t *testing.T) {
	var conns atomic.Int32
	answered := make(chan struct{}, 1)
	addr := prototest.Listen(t, func(nc net.Conn) {
		conns.Add(1)
		for {
			r, ok := next(nc)
			if !ok || !answer(nc, frame(reply(t, r.method, thrift.REPLY, r.seq, said("well")))) {
				return
			}
			if r.method == "note" {
				answered <- struct{}{}
			}
		}
	})
	c := newClient(t, Config{}, []string{addr})
	if err := c.Note(t.Context(), "n"); err != nil {
		t.Fatal(err)
	}
	<-answered
	if got, err := c.Echo(t.Context(), "s"); err != nil || got != "well" {
		t.Errorf("got %q, %v", got, err)
	}
	if conns.Load() != 2 {
		t.Errorf("%d connections, want a new one for the second call", conns.Load())
	}
}

func TestReportsTellTheClassAndTheTime(t *testing.T) {
	h := &handler{onEcho: func(_ context.Context, s string) (string, error) {
		if s == "fail" {
			return "", errors.New("internal")
		}
		return "", &echo.EchoError{Message: s}
	}}
	s := serve(t, framedBinary(), h)
	var last balance.Report
	pool := newPool(t, Config{}, []string{s.addr()}, core.MaxActive(1), core.WithBalancer(spyBalancer(func(r balance.Report) { last = r })))
	plain := echo.NewEchoClient(Client(pool))
	overload := echo.NewEchoClient(Client(pool, WithClassifier(func(err error, class balance.Outcome) balance.Outcome {
		if e, ok := errors.AsType[*echo.EchoError](err); ok && e.Message == "busy" {
			return balance.OutcomeOverload
		}
		return class
	})))
	for _, c := range []struct {
		client *echo.EchoClient
		arg    string
		want   balance.Outcome
	}{
		{plain, "busy", balance.OutcomeOK},
		{plain, "fail", balance.OutcomeFailure},
		{overload, "busy", balance.OutcomeOverload},
		{overload, "idle", balance.OutcomeOK},
		{overload, "fail", balance.OutcomeFailure},
	} {
		last = balance.Report{}
		begun := time.Now()
		_, err := c.client.Echo(t.Context(), c.arg)
		took := time.Since(begun)
		if err == nil || last.Outcome != c.want {
			t.Errorf("%s: reported %v, want %v (%v)", c.arg, last.Outcome, c.want, err)
		}
		if last.Latency <= 0 || last.Latency > took {
			t.Errorf("%s: reported %v of %v", c.arg, last.Latency, took)
		}
	}
	if s.accepted() != 1 {
		t.Errorf("%d connections", s.accepted())
	}
}

func TestARouteChoosesTheServer(t *testing.T) {
	names := map[string]string{}
	var addrs []string
	for range 3 {
		var s *server
		s = serve(t, framedBinary(), &handler{onEcho: func(context.Context, string) (string, error) { return s.addr(), nil }})
		names[s.addr()] = s.addr()
		addrs = append(addrs, s.addr())
	}
	c := newClient(t, Config{}, addrs, WithRoute(func(_ context.Context, method string, args thrift.TStruct) []core.CallOption {
		if a, ok := args.(*echo.EchoEchoArgs); ok && method == "echo" {
			return []core.CallOption{core.WithEndpoint(a.S)}
		}
		return nil
	}))
	for _, want := range append(addrs, addrs...) {
		if got, err := c.Echo(t.Context(), want); err != nil || got != want {
			t.Errorf("asked %s, %q answered, %v", want, got, err)
		}
	}
	if sum, err := c.Add(t.Context(), 1, 2); err != nil || sum != 3 {
		t.Errorf("%d, %v", sum, err)
	}
}

func TestAReplySaysHowBusyItsServerIs(t *testing.T) {
	s := serve(t, framedBinary(), &handler{})
	var loads []float64
	balancer := spyBalancer(func(r balance.Report) { loads = append(loads, r.Load) })
	c := echo.NewEchoClient(Client(newPool(t, Config{}, []string{s.addr()}, core.WithBalancer(balancer)),
		WithLoad(func(_ thrift.ResponseMeta, result thrift.TStruct) float64 {
			if e, ok := result.(*echo.EchoEchoResult); ok && e.IsSetSuccess() {
				return float64(len(*e.Success))
			}
			return 0
		})))
	for _, arg := range []string{"four", "throw", "eleven char"} {
		_, _ = c.Echo(t.Context(), arg)
	}
	if err := c.Note(t.Context(), "oneway: nothing is reported"); err != nil {
		t.Error(err)
	}
	if want := []float64{4, 0, 11}; !slices.Equal(loads, want) {
		t.Errorf("loads %v, want %v", loads, want)
	}
}

func TestAConnectionIsAClientForThePoolsDo(t *testing.T) {
	s := serve(t, framedBinary(), &handler{})
	var reports []balance.Outcome
	pool := newPool(t, Config{}, []string{s.addr()}, core.MaxActive(1),
		core.WithBalancer(spyBalancer(func(r balance.Report) { reports = append(reports, r.Outcome) })))
	for _, arg := range []string{"throw", "a", "throw", "b"} {
		err := pool.Do(t.Context(), func(ctx context.Context, c *Conn) error {
			client := echo.NewEchoClient(c)
			for range 3 {
				if _, err := client.Echo(ctx, arg); err != nil {
					return err
				}
			}
			return nil
		})
		if _, thrown := errors.AsType[*echo.EchoError](err); thrown != (arg == "throw") {
			t.Errorf("%s: %v", arg, err)
		}
	}
	if s.accepted() != 1 {
		t.Errorf("%d connections", s.accepted())
	}
	if want := slices.Repeat([]balance.Outcome{balance.OutcomeOK}, 4); !slices.Equal(reports, want) {
		t.Errorf("reported %v", reports)
	}
}

// What the application makes of a reply is no fault of the server's.
func TestAnErrorOfTheApplicationHarmsNeitherServerNorConnection(t *testing.T) {
	poor, rich := serve(t, framedBinary(), &handler{}), serve(t, framedBinary(), &handler{})
	var reports []balance.Outcome
	pool := newPool(t, Config{}, []string{poor.addr(), rich.addr()},
		core.WithBalancer(spyBalancer(func(r balance.Report) { reports = append(reports, r.Outcome) })))
	errNoCredit := errors.New("user has no credit")
	for i, addr := range slices.Repeat([]string{poor.addr(), rich.addr()}, 100) {
		want := []error{errNoCredit, nil}[i%2]
		if err := pool.Do(t.Context(), func(ctx context.Context, c *Conn) error {
			if _, err := echo.NewEchoClient(c).Echo(ctx, "credit?"); err != nil {
				return err
			}
			return want
		}, core.WithEndpoint(addr)); err != want { //nolint:errorlint // it must come as it is
			t.Fatalf("call %d: %v", i, err)
		}
	}
	if slices.Contains(reports, balance.OutcomeFailure) || len(reports) != 200 {
		t.Errorf("%d reports: %v", len(reports), reports)
	}
	if n, m := poor.accepted(), rich.accepted(); n != 1 || m != 1 {
		t.Errorf("%d and %d connections", n, m)
	}
}

func TestABrokenConnectionRefusesFurtherCalls(t *testing.T) {
	addr, requests := dying(t)
	pool := newPool(t, Config{}, []string{addr})
	lease, err := pool.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := echo.NewEchoClient(lease.Conn())
	_, err = c.Echo(t.Context(), "s")
	if !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
	if lease.Conn().Peek() == nil {
		t.Error("Peek says that it is fine")
	}
	// Somebody gives it back all the same. The next call does not suffer.
	if err := lease.Release(); err != nil {
		t.Fatal(err)
	}
	requests.Store(0)
	_, err = echo.NewEchoClient(Client(pool)).Echo(t.Context(), "s")
	if e, ok := errors.AsType[*Error](err); !ok || e.Attempts != 1 || requests.Load() != 1 {
		t.Errorf("%d requests, %v", requests.Load(), err)
	}
}

func TestAPanicOfAnOptionEndsTheLease(t *testing.T) {
	s := serve(t, framedBinary(), &handler{})
	pool := newPool(t, Config{}, []string{s.addr()}, core.MaxActive(1))
	for _, opt := range []Option{
		WithRoute(func(context.Context, string, thrift.TStruct) []core.CallOption { panic("route") }),
		WithClassifier(func(error, balance.Outcome) balance.Outcome { panic("reclassify") }),
		WithLoad(func(thrift.ResponseMeta, thrift.TStruct) float64 { panic("load") }),
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_, _ = echo.NewEchoClient(Client(pool, opt)).Echo(t.Context(), "s")
		}()
		if got, err := echo.NewEchoClient(Client(pool)).Echo(t.Context(), "s"); err != nil || got != "s" {
			t.Errorf("the next call got %q, %v", got, err)
		}
	}
}
