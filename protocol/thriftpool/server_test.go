package thriftpool

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

// handler is the service. Its hooks, set before it is called, may be nil.
type handler struct {
	echo.Service

	onEcho func(ctx context.Context, s string) (string, error)
	onNote func(s string)
}

func (h *handler) Echo(ctx context.Context, s string) (string, error) {
	if h.onEcho != nil {
		return h.onEcho(ctx, s)
	}
	return h.Service.Echo(ctx, s)
}

func (h *handler) Note(_ context.Context, s string) error {
	if h.onNote != nil {
		h.onNote(s)
	}
	return nil
}

// stack is what a server speaks.
type stack struct {
	transport thrift.TTransportFactory
	protocol  thrift.TProtocolFactory
	tls       *tls.Config
}

func framedBinary() stack {
	return stack{
		transport: thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), &thrift.TConfiguration{}),
		protocol:  thrift.NewTBinaryProtocolFactoryConf(&thrift.TConfiguration{}),
	}
}

// server is a Thrift server whose connections the test can break.
type server struct {
	ln        net.Listener
	stack     stack
	proc      thrift.TProcessor
	accepting sync.WaitGroup
	done      sync.WaitGroup // connections

	mu    sync.Mutex
	conns map[net.Conn]bool
	total int
}

func serve(tb testing.TB, st stack, h *handler) *server {
	tb.Helper()
	return serveProcessor(tb, st, echo.NewEchoProcessor(h))
}

// serveProcessor serves any service.
func serveProcessor(tb testing.TB, st stack, proc thrift.TProcessor) *server {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	return serveOn(tb, ln, st, proc)
}

func serveOn(tb testing.TB, ln net.Listener, st stack, proc thrift.TProcessor) *server {
	tb.Helper()
	s := &server{ln: ln, stack: st, proc: proc, conns: make(map[net.Conn]bool)}
	s.accepting.Go(s.accept)
	tb.Cleanup(func() {
		s.kill()
		s.done.Wait()
	})
	return s
}

func (s *server) addr() string {
	if s.ln.Addr().Network() == "unix" {
		return "unix:" + s.ln.Addr().String()
	}
	return s.ln.Addr().String()
}

func (s *server) accept() {
	for {
		nc, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[nc] = true
		s.total++
		s.mu.Unlock()
		s.done.Go(func() { s.speak(nc) })
	}
}

func (s *server) speak(nc net.Conn) {
	defer func() {
		s.mu.Lock()
		delete(s.conns, nc)
		s.mu.Unlock()
		_ = nc.Close()
	}()
	c := nc
	if s.stack.tls != nil {
		c = tls.Server(nc, s.stack.tls)
	}
	trans, err := s.stack.transport.GetTransport(thrift.NewTSocketFromConnConf(c, nil))
	if err != nil {
		return
	}
	proto := s.stack.protocol.GetProtocol(trans)
	for {
		ctx := context.Background()
		if hp, ok := proto.(*thrift.THeaderProtocol); ok {
			if err := hp.ReadFrame(ctx); err != nil {
				return
			}
			ctx = thrift.AddReadTHeaderToContext(ctx, hp.GetReadHeaders())
			ctx = thrift.SetResponseHelper(ctx, thrift.TResponseHelper{THeaderResponseHelper: thrift.NewTHeaderResponseHelper(hp)})
		}
		if ok, _ := s.proc.Process(ctx, proto, proto); !ok {
			return
		}
	}
}

// drop closes the connections there are, with FIN.
func (s *server) drop() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
	return len(s.conns)
}

// accepted is how many connections the server has seen.
func (s *server) accepted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// kill ends the server as the death of its process would.
func (s *server) kill() {
	_ = s.ln.Close()
	s.accepting.Wait() // or a connection that is being accepted would live on
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if tc, ok := c.(*net.TCPConn); ok {
			_ = tc.SetLinger(0)
		}
		_ = c.Close()
	}
}
