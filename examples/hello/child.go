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

// child is a process that this program has started.
type child struct {
	name string
	addr string       // where it listens
	said atomic.Int64 // lines, since it was ready

	cmd   *exec.Cmd
	stdin io.Closer
	ended chan struct{} // closed when the process is gone
}

// start starts a program and returns when it has said that it is ready. What it says
// afterwards is shown.
func start(ctx context.Context, out *screen, name, program string, args ...string) (*child, error) {
	const patience = 15 * time.Second
	// It outlives ctx: who is being served still wants an answer.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), program, append(args, "-child")...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("hello: starting %s: %w", name, err)
	}
	c := &child{name: name, cmd: cmd, stdin: stdin, ended: make(chan struct{})}
	lines := bufio.NewScanner(stdout)
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	early := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	ready := lines.Scan()
	late.Stop()
	early()
	addr, ok := strings.CutPrefix(lines.Text(), "ready ")
	c.addr = addr
	go func() { // ends with the process; stop and kill wait for it
		defer close(c.ended)
		for lines.Scan() {
			c.said.Add(1)
			out.say(name + ": " + lines.Text())
		}
		_ = cmd.Wait() // it may have been killed
	}()
	if !ready || !ok {
		c.stop() // from here on the complaint is complete
		return nil, fmt.Errorf("hello: starting %s: %w; it said: %s", name, errors.Join(ctx.Err(), errNotReady), complaint.String())
	}
	out.say(name + " is ready at " + addr)
	return c, nil
}

var errNotReady = errors.New("it did not become ready")

// kill ends the process as a crash would.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	<-c.ended
}

// stop ends the process, if it still runs, and waits for it.
func (c *child) stop() {
	_ = c.stdin.Close()
	late := time.AfterFunc(5*time.Second, func() { _ = c.cmd.Process.Kill() })
	<-c.ended
	late.Stop()
}
