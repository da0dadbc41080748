//go:build embedetcd

package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// startEtcd starts an etcd server in this process, on loopback and with a
// temporary folder.
func startEtcd() (address string, stop func(), err error) {
	dir, err := os.MkdirTemp("", "quickstart-etcd-")
	if err != nil {
		return "", nil, err
	}
	clean := func() { _ = os.RemoveAll(dir) }
	local := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}} // the kernel chooses the ports
	c := embed.NewConfig()
	c.Dir = dir
	c.ListenClientUrls, c.AdvertiseClientUrls = local, local
	c.ListenPeerUrls, c.AdvertisePeerUrls = local, local
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.UnsafeNoFsync = true // nothing outlives this run
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	server, err := embed.StartEtcd(c)
	if err != nil {
		clean()
		return "", nil, fmt.Errorf("starting etcd: %w", err)
	}
	stop = func() {
		server.Close()
		clean()
	}
	late := time.NewTimer(20 * time.Second)
	defer late.Stop()
	select {
	case <-server.Server.ReadyNotify():
		return fmt.Sprintf("etcd://%s/multipool/quickstart/?ttl=%v", server.Clients[0].Addr(), ttl), stop, nil
	case err = <-server.Err():
	case <-late.C:
		err = errors.New("it was not ready after 20 s")
	}
	stop()
	return "", nil, fmt.Errorf("starting etcd: %w", err)
}
