// Package process runs real servers for the tests of the examples.
package process

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Server is a program that listens on a port of loopback. It keeps its port when it
// is killed and started again.
type Server struct {
	Addr string

	tb  testing.TB
	cmd func(ctx context.Context) *exec.Cmd
	end func()
}

// Start runs the program with the arguments that args makes of a free port, until
// the test ends, in a folder of its own. It returns when the port takes
// connections. The test is skipped where the program is not installed.
func Start(tb testing.TB, program string, args func(port string) []string) *Server {
	tb.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		tb.Skipf("%s is not installed (Debian's package of that name has it): %v", program, err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0") // the kernel chooses a free port
	if err != nil {
		tb.Fatal(err)
	}
	s := &Server{Addr: ln.Addr().String(), tb: tb}
	_, port, _ := net.SplitHostPort(s.Addr)
	if err := ln.Close(); err != nil {
		tb.Fatal(err)
	}
	dir := tb.TempDir()
	s.cmd = func(ctx context.Context) *exec.Cmd {
		cmd := exec.CommandContext(ctx, path, args(port)...) // killed when ctx is done
		cmd.Dir = dir
		return cmd
	}
	s.Start()
	tb.Cleanup(func() { s.Kill() })
	return s
}

// Build builds the program of a package, for the test, and returns its path.
func Build(tb testing.TB, pkg string) (program string) {
	tb.Helper()
	program = filepath.Join(tb.TempDir(), "program")
	if out, err := exec.Command("go", "build", "-o", program, pkg).CombinedOutput(); err != nil {
		tb.Fatalf("building %s: %v\n%s", pkg, err, out)
	}
	return program
}

// Start starts a server that was killed, and returns when it listens.
func (s *Server) Start() {
	s.tb.Helper()
	ctx, kill := context.WithCancel(context.Background())
	var out complaint
	cmd := s.cmd(ctx)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		kill()
		s.tb.Fatal(err)
	}
	s.end = func() {
		kill()
		_ = cmd.Wait() // it says that it was killed
	}
	for begun := time.Now(); ; {
		nc, err := net.Dial("tcp", s.Addr)
		if err == nil {
			_ = nc.Close()
			return
		}
		if time.Since(begun) > 20*time.Second {
			s.Kill()
			s.tb.Fatalf("%s does not listen: %v\n%s", cmd, err, out)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// Kill kills the server, and returns when it is gone. It may be called again.
func (s *Server) Kill() {
	s.end()
	s.end = func() {}
}

// complaint keeps the last of what a server prints.
type complaint []byte

func (c *complaint) Write(b []byte) (int, error) {
	const most = 2000
	*c = append(*c, b...)
	*c = (*c)[max(0, len(*c)-most):]
	return len(b), nil
}

// String is for error messages.
func (c complaint) String() string { return fmt.Sprintf("it said: %s", []byte(c)) }
