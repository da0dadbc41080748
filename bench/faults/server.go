package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// serveFlag, with a protocol and an address, makes the program one of its own servers.
const serveFlag = "-serve"

// serveIfAsked serves, instead of returning, in a process that launch began.
func serveIfAsked() {
	if len(os.Args) != 4 || os.Args[1] != serveFlag {
		return
	}
	for _, p := range protocols() {
		if p.name == os.Args[2] {
			fmt.Fprintf(os.Stderr, "%s server: %v\n", p.name, serve(p, os.Args[3]))
		}
	}
	os.Exit(1)
}

// handler answers with its address, after delay nanoseconds, or never where that is negative.
type handler struct {
	addr  string
	delay atomic.Int64
}

func (h *handler) answer() string {
	switch d := time.Duration(h.delay.Load()); {
	case d < 0:
		select {}
	default:
		time.Sleep(d)
	}
	return h.addr
}

// serve answers, and does what standard input says until that ends: the parent's death is enough.
func serve(p protocol, addr string) error {
	var h handler
	at, run, err := p.listen(addr, &h)
	if err != nil {
		return err
	}
	h.addr = at.String()
	// Ends with the process.
	go func() {
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() {
			d, err := time.ParseDuration(in.Text())
			if err != nil {
				break
			}
			h.delay.Store(int64(d))
			fmt.Fprintln(os.Stdout, d)
		}
		os.Exit(0)
	}()
	fmt.Fprintln(os.Stdout, h.addr)
	return run()
}

// server is a process that serves, and is begun again at the same address.
type server struct {
	speaks protocol
	addr   string
	cmd    *exec.Cmd
	stdin  *os.File
	stdout *bufio.Reader
}

// launch starts a server; with the address of one that has ended, in its place.
func launch(p protocol, addr string) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &server{speaks: p, cmd: exec.Command(self, serveFlag, p.name, addr)}
	s.cmd.Stderr = os.Stderr
	reader, writer, err := os.Pipe() // ends when this process does
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	s.cmd.Stdin, s.stdin = reader, writer
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.stdout = bufio.NewReader(stdout)
	line, err := s.stdout.ReadString('\n')
	if err != nil {
		s.kill()
		return nil, errors.New("the server did not tell its address")
	}
	s.addr = strings.TrimSpace(line)
	return s, nil
}

// delays makes the server answer late, or never, from now on.
func (s *server) delays(d time.Duration) error {
	if _, err := fmt.Fprintln(s.stdin, d); err != nil {
		return err
	}
	_, err := s.stdout.ReadString('\n')
	return err
}

// freeze stops the server, and returns when all its threads have stopped, which takes a moment.
func (s *server) freeze() error {
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for {
		if _, err := syscall.Wait4(s.cmd.Process.Pid, nil, syscall.WUNTRACED, nil); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	_ = s.stdin.Close()
}
