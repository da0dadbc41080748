package protocoltest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// speak is what a server does with a connection, which is closed when it returns.
type speak func(nc net.Conn)

// server is a server on the loopback interface.
type server struct {
	ln        net.Listener
	accepting sync.WaitGroup
	running   sync.WaitGroup // connections

	mu      sync.Mutex
	conns   []net.Conn
	waiting bool // for the other side to close them
}

func listen(s speak) (*server, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is local
	if err != nil {
		return nil, err
	}
	srv := &server{ln: ln}
	srv.accepting.Go(func() { srv.accept(s) })
	return srv, nil
}

func (s *server) addr() string { return s.ln.Addr().String() }

func (s *server) accept(speak speak) {
	for {
		nc, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns = append(s.conns, nc)
		s.mu.Unlock()
		s.running.Go(func() {
			defer s.finish(nc)
			speak(nc)
		})
	}
}

// finish closes a connection, unless it is the other side's turn.
func (s *server) finish(nc net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.waiting {
		_ = nc.Close()
	}
}

// left returns an error if the other side has not closed each connection in time.
func (s *server) left(timeout time.Duration) error {
	s.mu.Lock()
	s.waiting = true
	conns := s.conns
	s.mu.Unlock()
	open := 0
	deadline := time.Now().Add(timeout)
	for _, nc := range conns {
		if nc.SetReadDeadline(deadline) != nil {
			continue // closed by this side
		}
		if _, err := io.Copy(io.Discard, nc); errors.Is(err, os.ErrDeadlineExceeded) {
			open++
		}
	}
	if open > 0 {
		return fmt.Errorf("%d of %d connections are left %v after the client was closed", open, len(conns), timeout)
	}
	return nil
}

// close ends everything.
func (s *server) close() error {
	err := s.ln.Close()
	s.accepting.Wait() // or a connection that is being accepted would live on
	s.mu.Lock()
	for _, nc := range s.conns {
		_ = nc.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
	return err
}

// answering returns a server that answers each request with what answer returns.
func (f *Fixture) answering(answer func(Request) []byte) speak {
	return func(nc net.Conn) {
		for r := bufio.NewReader(nc); ; {
			request, err := f.Read(r)
			if err != nil {
				return
			}
			if _, err := nc.Write(answer(request)); err != nil {
				return
			}
		}
	}
}

// closing returns a server that answers one request, and then closes the
// connection, or resets it.
func (f *Fixture) closing(answer func(Request) []byte, reset bool) speak {
	return func(nc net.Conn) {
		request, err := f.Read(bufio.NewReader(nc))
		if err != nil {
			return
		}
		_, _ = nc.Write(answer(request))
		if reset {
			abort(nc)
		}
	}
}

// silent reads until the connection ends, and never answers.
func silent(nc net.Conn) { _, _ = io.Copy(io.Discard, nc) }

// abort closes a connection with RST.
func abort(nc net.Conn) {
	if tc, ok := nc.(*net.TCPConn); ok {
		_ = tc.SetLinger(0)
	}
	_ = nc.Close()
}

// repeat writes b again and again until the connection ends.
func repeat(nc net.Conn, b []byte) {
	for len(b) < 16<<10 {
		b = append(slices.Clip(b), b...)
	}
	for {
		if _, err := nc.Write(b); err != nil {
			return
		}
	}
}

// dribble writes b again and again, one byte in a millisecond, until the
// connection ends.
func dribble(nc net.Conn, begin, b []byte) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for ; ; begin = b {
		for i := range begin {
			if _, err := nc.Write(begin[i : i+1]); err != nil {
				return
			}
			<-tick.C
		}
	}
}
