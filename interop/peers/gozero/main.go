// Command gozero registers and finds servers with go-zero's package discov, in etcd.
package main

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/zeromicro/go-zero/core/discov"
	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/zrpc"
	"google.golang.org/grpc"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/minicaptain/multi_connection_pool/interop/peer"
)

func main() {
	logx.Disable()
	peer.Main(map[string]peer.Library{"etcd": {Register: register, Watch: watch, Serve: serve, Pick: pick}})
}

func register(_ context.Context, addr, service string, s peer.Server) (stop func() error, err error) {
	p := discov.NewPublisher([]string{addr}, service, s.Addr)
	if err := p.KeepAlive(); err != nil {
		return nil, err
	}
	// Stop returns before the key is gone: of a program that ends at once it stays until
	// its lease ends.
	return func() error { p.Stop(); return nil }, nil
}

func watch(ctx context.Context, addr, service string, report func([]peer.Server)) error {
	sub, err := discov.NewSubscriber([]string{addr}, service)
	if err != nil {
		return err
	}
	update := func() {
		var all []peer.Server
		for _, a := range sub.Values() {
			all = append(all, peer.Server{Addr: a})
		}
		report(all)
	}
	sub.AddListener(update)
	update()
	<-ctx.Done()
	return errors.New("the watch has ended")
}

// serve answers every call of gRPC with an empty message.
func serve(ctx context.Context, addr, _ string) (io.Closer, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	s := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		return errors.Join(stream.RecvMsg(&emptypb.Empty{}), stream.SendMsg(&emptypb.Empty{}))
	}))
	go func() { _ = s.Serve(ln) }() // ends with the listener
	return ln, nil
}

// pick has the balancer of go-zero's clients, the better of two by load, once a second has
// passed, for each connection counts as soon as it is ready.
func pick(ctx context.Context, addr, service string) (func() (string, error), error) {
	client, err := zrpc.NewClient(zrpc.RpcClientConf{Etcd: discov.EtcdConf{Hosts: []string{addr}, Key: service}})
	if err != nil {
		return nil, err
	}
	next := func() (string, error) {
		var at grpcpeer.Peer
		if err := client.Conn().Invoke(ctx, "/interop/Where", &emptypb.Empty{}, &emptypb.Empty{}, grpc.Peer(&at)); err != nil {
			return "", err
		}
		return at.Addr.String(), nil
	}
	for begun := time.Now(); time.Since(begun) < time.Second; {
		if _, err := next(); err != nil {
			return nil, err
		}
	}
	return next, nil
}
