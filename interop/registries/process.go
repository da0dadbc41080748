package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/minicaptain/multi_connection_pool/interop/peer"
)

// process is a server of either side, as a program that reads standard input to its end.
type process struct {
	cmd *exec.Cmd
	in  io.Closer
}

// start starts a server, and returns when it says that it is registered.
func start(ctx context.Context, command ...string) (*process, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // the programs of this folder
	var said bytes.Buffer
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() == "registered" {
			go func() { _, _ = io.Copy(io.Discard, out) }() // libraries log; ends with the process
			return &process{cmd, in}, nil
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	return nil, fmt.Errorf("%s: %s", filepath.Base(command[0]), reason(said.String()))
}

// exit ends the process in the way of its library.
func (p *process) exit() error {
	_ = p.in.Close()
	done := make(chan error, 1)
	go func() { done <- p.cmd.Wait() }()
	select {
	case err := <-done:
		return err
	case <-time.After(30 * time.Second): //nolint:forbidigo // once
		return errors.Join(errors.New("it does not end"), p.cmd.Process.Kill())
	}
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// watchTheirs follows the sets that a peer prints, one of children, until ctx is done.
func watchTheirs(ctx context.Context, children *sync.WaitGroup, v *view, command ...string) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // as above
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	children.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var servers []peer.Server
			if json.Unmarshal(lines.Bytes(), &servers) == nil { // else a library logs
				v.set(servers)
			}
		}
		if err := cmd.Wait(); ctx.Err() == nil {
			v.end(fmt.Sprintf("their resolver ends: %v: %s", err, reason(said.String())))
		}
	})
	return nil
}

// reason returns the line of what a program said before it ended that tells why.
func reason(said string) string {
	for line := range strings.Lines(said) {
		if strings.Contains(line, "xception") {
			return strings.TrimSpace(line)
		}
	}
	return last(said)
}

// last returns the last line of a text.
func last(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// build builds a peer, unless it is there, and returns the path of the program.
func build(ctx context.Context, dir, name string) (string, error) {
	program := dir + "/" + name
	if _, err := os.Stat(program); err == nil {
		return program, nil // of another registry
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", program, ".") //nolint:gosec // as above
	cmd.Dir = "peers/" + name
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", name, err, out)
	}
	return program, nil
}
