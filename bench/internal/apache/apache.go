// Package apache is the server and the client connection of Apache's Thrift library, framed and binary, which the
// comparisons share.
package apache

import (
	"io"
	"net"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

// Listen opens a server at an address, and returns where it listens and what serves there.
func Listen(addr string, h echo.Echo) (net.Addr, func() error, error) {
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, nil, err
	}
	socket := thrift.NewTServerSocketFromAddrTimeout(tcp, 0)
	if err := socket.Listen(); err != nil {
		return nil, nil, err
	}
	// Spare each request the goroutine that looks whether the client is still there, at the cost of less difference
	// between clients.
	thrift.ServerConnectivityCheckInterval = 0
	conf := &thrift.TConfiguration{}
	server := thrift.NewTSimpleServer4(echo.NewEchoProcessor(h), socket,
		thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), conf),
		thrift.NewTBinaryProtocolFactoryConf(conf))
	return socket.Addr(), server.Serve, nil
}

// Conn is a client's connection, for one call at a time.
type Conn struct {
	*thrift.TStandardClient
	io.Closer
}

// Dial opens a connection. The timeout is that of the dial and of each read and write.
func Dial(addr string, timeout time.Duration) (*Conn, error) {
	conf := &thrift.TConfiguration{ConnectTimeout: timeout, SocketTimeout: timeout}
	framed := thrift.NewTFramedTransportConf(thrift.NewTSocketConf(addr, conf), conf)
	if err := framed.Open(); err != nil {
		return nil, err
	}
	protocol := thrift.NewTBinaryProtocolConf(framed, conf)
	return &Conn{thrift.NewTStandardClient(protocol, protocol), framed}, nil
}
