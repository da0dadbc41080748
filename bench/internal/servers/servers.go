// Package servers runs servers as processes of their own, on loopback: the program starts itself again. So CPU time and
// allocations of the program are those of the clients alone, and a server can be killed.
package servers

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"
)

// flag, with a name and an address, makes the program one of its own servers.
const flag = "-serve"

// Server is a server that listens.
type Server struct {
	Addr net.Addr
	// Serve answers until the process ends.
	Serve func() error
	// Do executes a command of the parent process; it may be nil.
	Do func(command string) error
}

// Listen opens a server at an address, whose port may be 0.
type Listen func(addr string) (Server, error)

// RunIfAsked becomes the server of that name, instead of returning, in a process that this package has started. A
// program calls it first.
func RunIfAsked(named map[string]Listen) {
	if len(os.Args) != 4 || os.Args[1] != flag {
		return
	}
	err := fmt.Errorf("there is no server %q", os.Args[2])
	if listen, ok := named[os.Args[2]]; ok {
		err = run(listen, os.Args[3])
	}
	fmt.Fprintf(os.Stderr, "%s server: %v\n", os.Args[2], err)
	os.Exit(1)
}

// run prints the server's address and serves until standard input ends, which it does when the parent process does.
func run(listen Listen, addr string) error {
	s, err := listen(addr)
	if err != nil {
		return err
	}
	// Ends with the process.
	go func() {
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() && s.Do != nil && s.Do(in.Text()) == nil {
			fmt.Fprintln(os.Stdout, in.Text())
		}
		os.Exit(0)
	}()
	fmt.Fprintln(os.Stdout, s.Addr)
	return s.Serve()
}

// Process is a server that runs.
type Process struct {
	Name, Addr string
	// Cmd is the process, for signals.
	Cmd    *exec.Cmd
	stdin  io.Writer
	stdout *bufio.Reader
}

// startTime is how long a server may take to listen.
const startTime = 10 * time.Second

// Start starts the server of that name. With the address of one that has ended, it takes its place.
func Start(name, addr string) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &Process{Name: name, Cmd: exec.Command(self, flag, name, addr)}
	p.Cmd.Stderr = os.Stderr
	if p.stdin, err = p.Cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.Cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.Cmd.Start(); err != nil {
		return nil, err
	}
	p.stdout = bufio.NewReader(stdout)
	late := time.AfterFunc(startTime, func() { _ = p.Cmd.Process.Kill() })
	defer late.Stop()
	line, err := p.stdout.ReadString('\n')
	if err != nil {
		p.Kill()
		return nil, fmt.Errorf("the %s server printed no address: %w", name, err)
	}
	p.Addr = strings.TrimSpace(line)
	return p, nil
}

// Do sends the server a command and returns when the server has executed it.
func (p *Process) Do(command string) error {
	if _, err := fmt.Fprintln(p.stdin, command); err != nil {
		return err
	}
	_, err := p.stdout.ReadString('\n')
	return err
}

// Kill kills the server and waits for its end. It may be called again.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Kill()
	_ = p.Cmd.Wait()
}

// Group is servers that calls are spread over.
type Group []*Process

// StartGroup starts n servers of that name.
func StartGroup(name string, n int) (Group, error) {
	var g Group
	for range n {
		p, err := Start(name, "127.0.0.1:0")
		if err != nil {
			g.Kill()
			return nil, err
		}
		g = append(g, p)
	}
	return g, nil
}

// Addrs returns the addresses of the servers.
func (g Group) Addrs() []string {
	addrs := make([]string, len(g))
	for i, p := range g {
		addrs[i] = p.Addr
	}
	return addrs
}

// Kill kills all and waits for their end.
func (g Group) Kill() {
	for _, p := range g {
		p.Kill()
	}
}
