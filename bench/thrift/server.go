package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/bench/internal/echo"
)

// serveFlag makes the program one of its own servers.
const serveFlag = "-serve"

// serveIfAsked serves, instead of returning, in a process that startServers began.
func serveIfAsked() {
	if len(os.Args) != 2 || os.Args[1] != serveFlag {
		return
	}
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "thrift server:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

type echoHandler struct{}

func (echoHandler) Echo(_ context.Context, payload []byte) ([]byte, error) { return payload, nil }

// serve prints its address and answers, framed and binary, until standard input ends: the parent's death is enough.
func serve() error {
	socket := thrift.NewTServerSocketFromAddrTimeout(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, 0)
	if err := socket.Listen(); err != nil {
		return err
	}
	// Spare each request the goroutine that looks whether the client is still there, at the cost of less difference
	// between clients.
	thrift.ServerConnectivityCheckInterval = 0
	conf := &thrift.TConfiguration{}
	server := thrift.NewTSimpleServer4(echo.NewEchoProcessor(echoHandler{}), socket,
		thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), conf),
		thrift.NewTBinaryProtocolFactoryConf(conf))
	// Ends with the process.
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Fprintln(os.Stdout, socket.Addr())
	return server.Serve()
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
