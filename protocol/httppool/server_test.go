//go:build go1.26

package httppool

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// serveFlag, with an address, makes the test program a server.
const serveFlag = "-serve-http"

// serveIfAsked serves and does not return in a process that launch started.
func serveIfAsked() {
	if len(os.Args) == 3 && os.Args[1] == serveFlag {
		fmt.Fprintln(os.Stderr, "server:", serve(os.Args[2]))
		os.Exit(1)
	}
}

// serve answers with its address, after the delay that standard input named last;
// a negative one means never. It ends with standard input, and so with the parent.
func serve(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	var delay atomic.Int64
	go func() { // ends with the process
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			d, err := time.ParseDuration(in.Text())
			if err != nil {
				break
			}
			delay.Store(int64(d))
			fmt.Fprintln(os.Stdout)
		}
		os.Exit(0)
	}()
	server := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		d := time.Duration(delay.Load())
		if d < 0 {
			select {}
		}
		time.Sleep(d)
		_, _ = io.WriteString(w, ln.Addr().String())
	})}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	fmt.Fprintln(os.Stdout, ln.Addr())
	return server.Serve(ln)
}

// process is a server that runs in a process of its own.
type process struct {
	addr string
	cmd  *exec.Cmd
	in   io.Writer
	out  *bufio.Reader
}

// launch starts a server at an address.
func launch(addr string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(self, serveFlag, addr)}
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil { // ends when this process does
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	if p.addr, err = p.line(); err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

func (p *process) line() (string, error) {
	line, err := p.out.ReadString('\n')
	if err != nil {
		return "", errors.New("the server has ended")
	}
	return strings.TrimSpace(line), nil
}

// delay makes the server answer late, or never.
func (p *process) delay(d time.Duration) error {
	if _, err := fmt.Fprintln(p.in, d); err != nil {
		return err
	}
	_, err := p.line()
	return err
}

// kill ends the process as kill -9 does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// fleet returns three servers, which the test ends.
func fleet(t *testing.T) []*process {
	t.Helper()
	all := make([]*process, 3)
	for i := range all {
		p, err := launch("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		all[i] = p
		t.Cleanup(func() { all[i].kill() }) // its successor, if it was restarted
	}
	return all
}

func restart(all []*process, i int) error {
	p, err := launch(all[i].addr)
	if err == nil {
		all[i] = p
	}
	return err
}
