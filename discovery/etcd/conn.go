package etcd

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// maxAnswer bounds a message of the server, in bytes. Lists grow beyond gRPC's
// default of 4 MiB; a page of ten thousand keys, see pageSize, has about 3 MB.
const maxAnswer = 64 << 20

// dial returns the connections to the servers, one to each address. Requests
// take turns on those that are up. dial does no I/O but to read the files of
// certificates; the first request connects.
func dial(key clientKey, servers []string, user credentials.PerRPCCredentials) (*grpc.ClientConn, error) {
	config, err := key.tls.Load() // a file that is missing at first is a mistake
	if err != nil {
		return nil, err
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithPerRPCCredentials(user),
		grpc.WithNoProxy(), // the environment's proxy is for the web, not for a registry
		// gRPC's own back-off grows to two minutes; this one stays below a second.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.25, MaxDelay: 800 * time.Millisecond},
			MinConnectTimeout: key.timeout,
		}),
		// gRPC allows no shorter time until a silent server counts as dead.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: key.timeout}),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true), grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithResolvers(&addresses{servers: servers, timeout: key.timeout}),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`),
	}
	if config != nil {
		options = append(options, grpc.WithTransportCredentials(certificates{key.tls}))
		if config.ServerName != "" { // gRPC would use the listed name, whatever config says
			options = append(options, grpc.WithAuthority(config.ServerName))
		}
	}
	return grpc.NewClient(scheme+":///etcd", options...)
}
