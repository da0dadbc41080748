package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// serveFlag makes the program one of its own servers.
const serveFlag = "-serve"

// serveIfAsked serves, instead of returning, in a process that startServers began.
func serveIfAsked() {
	if len(os.Args) != 2 || os.Args[1] != serveFlag {
		return
	}
	fmt.Fprintln(os.Stderr, "http server:", serve())
	os.Exit(1)
}

// largest is the most that can be asked for.
const largest = 1 << 20

// answer gives as many bytes as the path says.
func answer(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
	if err != nil || n < 0 || n > largest {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Length", strconv.Itoa(n))
	_, _ = w.Write(body[:n]) // the client may be gone
}

var body = bytes.Repeat([]byte{'x'}, largest)

// serve prints its address and answers, in HTTP/1.1 and in HTTP/2 without TLS, until standard input ends: the parent's
// death is enough.
func serve() error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.HandlerFunc(answer), Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	// Ends with the process.
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Fprintln(os.Stdout, ln.Addr())
	return server.Serve(ln)
}

// servers are running processes.
type servers []*serverProcess

type serverProcess struct {
	cmd  *exec.Cmd
	addr string
}

func startServers(n int) (servers, error) {
	var all servers
	for range n {
		p, err := startServer()
		if err != nil {
			all.stop()
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

func startServer() (*serverProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, serveFlag)
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil { // ends when this process does
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &serverProcess{cmd: cmd}
	hurry := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
	defer hurry.Stop()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		servers{p}.stop()
		return nil, fmt.Errorf("server did not tell its address: %w", err)
	}
	p.addr = strings.TrimSpace(line)
	return p, nil
}

func (s servers) addrs() []string {
	addrs := make([]string, len(s))
	for i, p := range s {
		addrs[i] = p.addr
	}
	return addrs
}

// stop kills the servers and waits for them.
func (s servers) stop() {
	for _, p := range s {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
}
