package main

import (
	"context"
	"log/slog"
	"net"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/bench/internal/echo"
)

// listenThrift speaks framed and binary.
func listenThrift(addr string, h *handler) (net.Addr, func() error, error) {
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, nil, err
	}
	socket := thrift.NewTServerSocketFromAddrTimeout(tcp, 0)
	if err := socket.Listen(); err != nil {
		return nil, nil, err
	}
	thrift.ServerConnectivityCheckInterval = 0
	slog.SetDefault(slog.New(slog.DiscardHandler)) // clients that break a connection are what this is about
	conf := &thrift.TConfiguration{}
	server := thrift.NewTSimpleServer4(echo.NewEchoProcessor(echoing{h}), socket,
		thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), conf),
		thrift.NewTBinaryProtocolFactoryConf(conf))
	return socket.Addr(), server.Serve, nil
}

// echoing is the handler as generated code wants it.
type echoing struct{ *handler }

func (e echoing) Echo(context.Context, []byte) ([]byte, error) { return []byte(e.answer()), nil }
