package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

// serve is a server process: it listens on addr, prints the address it got, is
// in the registry, and answers until its standard input ends, which it does
// when the parent dies, however that dies. Its answers take as long as slow says.
func serve(addr string, registry registry, slow string) error {
	delay, err := time.ParseDuration(slow)
	if err != nil {
		return err
	}
	// Ctrl-C in a terminal goes to every process of the group; the parent
	// decides when the servers end.
	signal.Ignore(os.Interrupt, syscall.SIGTERM)
	socket, err := listen(addr)
	if err != nil {
		return err
	}
	leave, err := registry.register(socket.Addr().String())
	if err != nil {
		return err
	}
	go func() { // ends with the process
		_, _ = io.Copy(io.Discard, os.Stdin)
		leave()
		os.Exit(0)
	}()
	if _, err := fmt.Fprintln(os.Stdout, socket.Addr()); err != nil {
		return err
	}
	server := thrift.NewTSimpleServer4(
		echo.NewEchoProcessor(echoer{addr: socket.Addr().String(), delay: delay}),
		socket,
		thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), nil),
		thrift.NewTBinaryProtocolFactoryConf(nil),
	)
	return server.Serve()
}

// listen tries for a while, since a port that was free a moment ago may be the
// local end of somebody's connection now.
func listen(addr string) (*thrift.TServerSocket, error) {
	socket, err := thrift.NewTServerSocket(addr)
	if err != nil {
		return nil, err
	}
	for range 50 {
		if err = socket.Listen(); !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return socket, err
}

// echoer answers with what it got and with its own address.
type echoer struct {
	echo.Service
	addr  string
	delay time.Duration
}

func (e echoer) Send(_ context.Context, m *echo.Message) (*echo.Message, error) {
	time.Sleep(e.delay)
	m.Server = &e.addr
	return m, nil
}
