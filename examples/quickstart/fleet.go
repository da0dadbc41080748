package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// serveCommand is the hidden first argument that makes this program a server.
const serveCommand = "serve"

// fleet is the servers, as processes of this same program.
type fleet []*server

// startFleet starts n servers, which register themselves. The last one is slow.
func startFleet(ctx context.Context, n int, registry registry, slow time.Duration) (fleet, error) {
	var f fleet
	for i := range n {
		s := &server{addr: "127.0.0.1:0", registry: registry} // the kernel chooses a port
		if i == n-1 {
			s.slow = slow
		}
		if err := s.start(ctx); err != nil {
			f.stop()
			return nil, err
		}
		f = append(f, s)
	}
	return f, nil
}

func (f fleet) addrs() []string {
	addrs := make([]string, len(f))
	for i, s := range f {
		addrs[i] = s.addr
	}
	return addrs
}

// stop ends all servers and waits for them.
func (f fleet) stop() {
	var stops sync.WaitGroup
	for _, s := range f {
		stops.Go(s.stop)
	}
	stops.Wait()
}

// server is one server process. It keeps its address over a restart.
type server struct {
	addr     string
	registry registry
	slow     time.Duration
	cmd      *exec.Cmd
	stdin    io.Closer
	ended    chan struct{} // closed when the process is gone
}

// start starts the process and returns when it listens.
func (s *server) start(ctx context.Context) error {
	const patience = 10 * time.Second
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// The servers outlive ctx: calls in flight at Ctrl-C still want an answer.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), self, serveCommand, s.addr, s.registry.url, s.slow.String())
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	var complaint complaint
	cmd.Stderr = &complaint
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting a server: %w", err)
	}
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if inTime := late.Stop(); !inTime {
		err = fmt.Errorf("it was silent for %v", patience)
	}

	s.cmd, s.stdin, s.ended = cmd, stdin, make(chan struct{})
	ended := s.ended
	go func() { // ends with the process; stop and kill wait for it
		_ = cmd.Wait()
		close(ended)
	}()
	if err != nil {
		s.stop() // from here on the complaint is complete
		return fmt.Errorf("starting a server at %s: %w", s.addr, errors.Join(err, complaint.err()))
	}
	s.addr = strings.TrimSpace(line)
	return nil
}

// kill ends the process as a crash would, without a chance to say goodbye.
func (s *server) kill() error {
	err := s.cmd.Process.Kill()
	<-s.ended
	_ = s.stdin.Close()
	return err
}

// stop ends the process, if it still runs.
func (s *server) stop() {
	_ = s.stdin.Close()
	late := time.AfterFunc(3*time.Second, func() { _ = s.cmd.Process.Kill() }) // it may have to leave a registry
	<-s.ended
	late.Stop()
}

// complaint keeps the beginning of what a server writes to standard error.
type complaint struct {
	mu   sync.Mutex
	text []byte
}

func (c *complaint) Write(p []byte) (int, error) {
	const most = 4096
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text = append(c.text, p[:min(len(p), most-len(c.text))]...)
	return len(p), nil
}

func (c *complaint) err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.text) == 0 {
		return nil
	}
	return fmt.Errorf("it said: %s", strings.TrimSpace(string(c.text)))
}
