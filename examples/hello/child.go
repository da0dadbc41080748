package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"
)

// child is a process that this program started.
type child struct {
	name  string
	addr  string       // its listen address
	lines atomic.Int64 // printed since it was ready

	cmd   *exec.Cmd
	stdin io.Closer
	ended chan struct{} // closed when the process has ended
}

// start starts a program and waits until it prints "ready" and its address. Later lines
// of the program go to out.
func start(ctx context.Context, out *screen, name, program string, args ...string) (*child, error) {
	const timeout = 15 * time.Second
	// The process outlives ctx, so that requests under way get their answers.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), program, append(args, "-child")...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("hello: starting %s: %w", name, err)
	}
	c := &child{name: name, cmd: cmd, stdin: stdin, ended: make(chan struct{})}
	output := bufio.NewScanner(stdout)
	late := time.AfterFunc(timeout, func() { _ = cmd.Process.Kill() })
	early := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	scanned := output.Scan()
	late.Stop()
	early()
	addr, ready := strings.CutPrefix(output.Text(), "ready ")
	c.addr = addr
	go func() { // ends with the process; stop and kill wait for it
		defer close(c.ended)
		for output.Scan() {
			c.lines.Add(1)
			out.print(name + ": " + output.Text())
		}
		_ = cmd.Wait() // an error if the process was killed
	}()
	if !scanned || !ready {
		c.stop() // stderr is complete afterwards
		return nil, fmt.Errorf("hello: starting %s: %w; its stderr: %s", name, errors.Join(ctx.Err(), errNotReady), stderr.String())
	}
	out.print(name + " is ready at " + addr)
	return c, nil
}

var errNotReady = errors.New("the process did not become ready")

// kill ends the process as a crash does.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	<-c.ended
}

// stop ends the process if it still runs, and waits for its end.
func (c *child) stop() {
	_ = c.stdin.Close()
	late := time.AfterFunc(5*time.Second, func() { _ = c.cmd.Process.Kill() })
	<-c.ended
	late.Stop()
}
