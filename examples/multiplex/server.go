package main

import (
	"bufio"
	"errors"
	"net"
	"sync"
)

// Server answers requests, many of one connection at a time.
type Server struct {
	ln     net.Listener
	answer func(request string) string

	mu    sync.Mutex
	conns map[net.Conn]bool
	ended bool
	all   sync.WaitGroup // everything that it has started
}

// Serve starts a server, which Close ends. answer is called concurrently.
func Serve(ln net.Listener, answer func(request string) string) *Server {
	s := &Server{ln: ln, answer: answer, conns: map[net.Conn]bool{}}
	s.all.Go(s.accept)
	return s
}

// Addr is where it listens.
func (s *Server) Addr() string { return s.ln.Addr().String() }

// Close ends all connections, and waits for the answers under way.
func (s *Server) Close() error {
	s.mu.Lock()
	s.ended = true
	err := s.ln.Close()
	for nc := range s.conns {
		err = errors.Join(err, nc.Close())
	}
	s.mu.Unlock()
	s.all.Wait()
	return err
}

func (s *Server) accept() {
	for {
		nc, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.ended {
			_ = nc.Close()
		}
		s.conns[nc] = true
		s.mu.Unlock()
		s.all.Go(func() { s.serve(nc) })
	}
}

// serve answers the requests of one connection, each when it is ready.
func (s *Server) serve(nc net.Conn) {
	var write sync.Mutex
	for r := bufio.NewReader(nc); ; {
		id, request, err := readFrame(r)
		if err != nil {
			break
		}
		s.all.Go(func() {
			reply := s.answer(request)
			write.Lock()
			defer write.Unlock()
			_ = writeFrame(nc, id, reply) // the client may be gone
		})
	}
	s.mu.Lock()
	delete(s.conns, nc)
	s.mu.Unlock()
	_ = nc.Close()
}
