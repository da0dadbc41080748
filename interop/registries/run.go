package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/minicaptain/multi_connection_pool/interop/peer"
)

// How long something may take that should take milliseconds; until an entry has its value;
// and until a registry has forgotten a program that was killed: the longest lease is of a
// minute.
const (
	soon     = 20 * time.Second
	settles  = 2 * time.Second
	forgets  = 90 * time.Second
	restarts = 75 * time.Second
)

// ecosystem is another project, and where its servers are in a registry.
type ecosystem struct {
	name     string
	peer     string // its folder in peers
	module   string // whose version is reported; empty: version is
	version  string
	registry string // scheme of URLs
	service  string // what its own resolver asks for
	path     string // what our URL has after the registry's address
	plain    bool   // its servers are addresses, without weights and zones
	picks    bool   // its peer has a balancer
}

func ecosystems() []ecosystem {
	return []ecosystem{
		{name: "gRPC naming (etcd's client)", peer: "grpcnaming", module: "go.etcd.io/etcd/client/v3", registry: "etcd", service: "svc/echo", path: "?prefix=svc/echo/&format=naming&ttl=5s", picks: true},
		{name: "go-zero discov", peer: "gozero", module: "github.com/zeromicro/go-zero", registry: "etcd", service: "echo.rpc", path: "?prefix=echo.rpc/&format=go-zero&ttl=5s", plain: true, picks: true},
		{name: "kitex registry-etcd", peer: "kitex", module: "github.com/kitex-contrib/registry-etcd", registry: "etcd", service: "svc-echo", path: "?prefix=kitex/registry-etcd/svc-echo/&format=kitex-etcd&ttl=5s", picks: true},
		{name: "kitex registry-consul", peer: "kitex", module: "github.com/kitex-contrib/registry-consul", registry: "consul", service: "kitex-echo", path: "/kitex-echo?format=kitex&ttl=5s", picks: true},
		{name: "hertz registry/etcd", peer: "hertz", module: "github.com/hertz-contrib/registry/etcd", registry: "etcd", service: "hertz-echo", path: "?prefix=hertz/registry-etcd/hertz-echo/&format=hertz-etcd&ttl=5s", picks: true},
		{name: "hertz registry/zookeeper", peer: "hertz", module: "github.com/hertz-contrib/registry/zookeeper", registry: "zk", service: "hertz-echo", path: "/hertz-echo?format=hertz-zk&session_timeout=5s", picks: true},
		{name: "hertz registry/consul", peer: "hertz", module: "github.com/hertz-contrib/registry/consul", registry: "consul", service: "hertz-echo", path: "/hertz-echo?format=hertz&ttl=5s", picks: true},
		{name: "kratos registry/etcd", peer: "kratos", module: "github.com/go-kratos/kratos/contrib/registry/etcd/v2", registry: "etcd", service: "echo", path: "?prefix=/microservices/echo/&format=kratos:grpc&ttl=5s", picks: true},
		{name: "go-micro 4 on etcd", peer: "gomicro", module: "github.com/go-micro/plugins/v4/registry/etcd", registry: "etcd", service: "echo", path: "?prefix=/micro/registry/echo/&format=micro&ttl=5s", picks: true},
		{name: "go-micro 4 on Consul", peer: "gomicro", module: "github.com/go-micro/plugins/v4/registry/consul", registry: "consul", service: "micro-echo", path: "/micro-echo?format=micro&ttl=5s", picks: true},
		{name: "GoFrame on etcd", peer: "goframe", module: "github.com/gogf/gf/contrib/registry/etcd/v2", registry: "etcd", service: "echo", path: "?prefix=/service/default/default/echo/latest/&format=goframe-etcd&ttl=5s", picks: true},
		{name: "GoFrame on Consul", peer: "goframe", module: "github.com/gogf/gf/contrib/registry/consul/v2", registry: "consul", service: "goframe-echo", path: "/goframe-echo?format=goframe&ttl=5s", picks: true},
		{name: "go-kit on etcd", peer: "gokit", module: "github.com/go-kit/kit", registry: "etcd", service: "echo", path: "?prefix=/services/echo/&format=go-kit&ttl=5s", plain: true},
		{name: "go-kit on ZooKeeper", peer: "gokit", module: "github.com/go-kit/kit", registry: "zk", service: "echo", path: "/services/echo?format=go-kit&session_timeout=5s", plain: true},
		{name: "go-kit on Consul", peer: "gokit", module: "github.com/go-kit/kit", registry: "consul", service: "kit-echo", path: "/kit-echo?ttl=5s", plain: true},
		{name: "rpcx on etcd", peer: "rpcx", module: "github.com/rpcxio/rpcx-etcd", registry: "etcd", service: "Arith", path: "?prefix=/rpcx_test/Arith/&format=rpcx&ttl=5s", picks: true},
		{name: "rpcx on ZooKeeper", peer: "rpcx", module: "github.com/rpcxio/rpcx-zookeeper", registry: "zk", service: "Arith", path: "/rpcx_test/Arith?format=rpcx&session_timeout=5s", picks: true},
		{name: "rpcx on Consul (key-value store)", peer: "rpcx", module: "github.com/rpcxio/rpcx-consul", registry: "consul", service: "Arith", path: "?prefix=rpcx_test/Arith&format=rpcx&ttl=10s", picks: true},
		{name: "dubbo-go, interface level", peer: "dubbo", module: "dubbo.apache.org/dubbo-go/v3", registry: "zk", service: "com.example.Echo", path: "/dubbo/com.example.Echo/providers?format=dubbo:tri&session_timeout=5s", picks: true},
		{name: "Apache Curator x-discovery", peer: "curator", version: "5.4.0 (Debian)", registry: "zk", service: "echo", path: "/curator/echo?format=curator&session_timeout=5s"},
	}
}

// seen is what one side saw of the other's servers.
type seen struct {
	found, values, exit, kill, restart string
}

// run runs all ecosystems, or only those of these names, at the same time, for they wait
// for leases most of the time.
func run(ctx context.Context, file string, only []string) error {
	dir, err := os.MkdirTemp("", "interop")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	var children sync.WaitGroup
	defer children.Wait() // else what cancel kills outlives this program
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all := slices.DeleteFunc(ecosystems(), func(e ecosystem) bool { return len(only) > 0 && !slices.Contains(only, e.name) })
	addr, version, err := registries(ctx, &children, dir, func(scheme string) bool {
		return slices.ContainsFunc(all, func(e ecosystem) bool { return e.registry == scheme })
	})
	if err != nil {
		return err
	}
	rows := make([][2]seen, len(all))
	fleets := make([]mixed, len(all))
	errs := make([]error, len(all))
	var wait sync.WaitGroup
	for i := range all {
		e := &all[i]
		command, err := e.command(ctx, dir)
		if err != nil {
			errs[i] = err
			continue
		}
		wait.Go(func() { rows[i], fleets[i], errs[i] = e.run(ctx, &children, addr[e.registry], command, i) })
	}
	wait.Wait()
	return report(file, all, rows, fleets, errs, version)
}

// run has both directions, one after the other, and then both at once.
func (e *ecosystem) run(ctx context.Context, children *sync.WaitGroup, registry string, command []string, number int) (rows [2]seen, fleet mixed, err error) {
	host := fmt.Sprintf("127.12.%d.1:", number)
	url := e.registry + "://" + registry + e.path
	ours, theirs := newView(), newView()
	if err := watchOurs(ctx, url, ours); err != nil {
		return rows, fleet, err
	}
	their := func(addr, weight, zone string) []string {
		return append(append([]string{}, command...), "register", e.registry+"://"+registry, e.service, addr, weight, zone)
	}
	if rows[0], err = e.observe(ctx, ours, host+"1", their); err != nil {
		return rows, fleet, fmt.Errorf("their servers: %w", err)
	}
	if err := watchTheirs(ctx, children, theirs, append(append([]string{}, command...), "watch", e.registry+"://"+registry, e.service)...); err != nil {
		return rows, fleet, err
	}
	self, err := os.Executable()
	if err != nil {
		return rows, fleet, err
	}
	our := func(addr, weight, zone string) []string { return []string{self, "ours", url, addr, weight, zone} }
	if rows[1], err = e.observe(ctx, theirs, host+"2", our); err != nil {
		return rows, fleet, fmt.Errorf("our servers: %w", err)
	}
	if e.picks {
		if fleet, err = e.mix(ctx, url, host+"3", command, their, our); err != nil {
			fleet.theirs = "**failed**: " + last(err.Error())
		}
	}
	return rows, fleet, nil
}

// observe starts servers of one side, at ports that begin as given, and watches the
// set of the other side.
func (e *ecosystem) observe(ctx context.Context, v *view, port string, command func(addr, weight, zone string) []string) (s seen, err error) {
	a := peer.Server{Addr: port + "001", Weight: 20, Zone: "eu"}
	b := peer.Server{Addr: port + "002", Weight: 10, Zone: "us"}
	if e.plain {
		a, b = peer.Server{Addr: a.Addr}, peer.Server{Addr: b.Addr}
	}
	run := func(s peer.Server) (*process, error) {
		return start(ctx, command(s.Addr, strconv.FormatFloat(s.Weight, 'g', -1, 64), s.Zone)...)
	}
	first, err := run(a)
	if err != nil {
		return s, err
	}
	defer first.kill()
	second, err := run(b)
	if err != nil {
		return s, err
	}
	defer second.kill()
	_, okA := v.await(ctx, a.Addr, true, soon)
	_, okB := v.await(ctx, b.Addr, true, soon)
	if !okA || !okB {
		s.found = strings.TrimSuffix("**no**: "+v.why(), ": ")
		return s, nil
	}
	s.found = "yes"
	if !e.plain { // rpcx takes a key in Consul before it writes the value
		v.until(ctx, settles, func(set []peer.Server) bool {
			return slices.ContainsFunc(set, func(s peer.Server) bool { return s.Addr == a.Addr && s.Zone == a.Zone }) &&
				slices.ContainsFunc(set, func(s peer.Server) bool { return s.Addr == b.Addr && s.Zone == b.Zone })
		})
	}
	gotA, _ := v.find(a.Addr)
	gotB, _ := v.find(b.Addr)
	s.values = "addresses only"
	if !e.plain {
		s.values = values(a, b, gotA, gotB)
	}
	if err := first.exit(); err != nil {
		s.exit = "exits with an error: " + err.Error() + "; "
	}
	s.exit += since(v.await(ctx, a.Addr, false, forgets))
	second.kill()
	s.kill = since(v.await(ctx, b.Addr, false, forgets))
	s.restart, err = restart(ctx, v, command(port+"003", strconv.FormatFloat(a.Weight, 'g', -1, 64), a.Zone), port+"003")
	return s, err
}

// restart kills a server and starts it again at once, and tells whether the set kept it.
func restart(ctx context.Context, v *view, command []string, addr string) (string, error) {
	p, err := start(ctx, command...)
	if err != nil {
		return "", err
	}
	if _, ok := v.await(ctx, addr, true, soon); !ok {
		p.kill()
		return "not found before", nil
	}
	v.lostOnce(addr)
	p.kill()
	p, err = start(ctx, command...)
	if err != nil {
		return "**refused** while the old entry is there: " + err.Error(), nil
	}
	defer func() { _ = p.exit() }()
	away, gone := v.await(ctx, addr, false, restarts)
	if !gone {
		if v.lostOnce(addr) {
			return "stays, gone for an instant", nil
		}
		return "stays", nil
	}
	back, ok := v.await(ctx, addr, true, soon)
	if !ok {
		return fmt.Sprintf("**gone** after %s, for good", round(away)), nil
	}
	return fmt.Sprintf("gone after %s, back %s later", round(away), round(back)), nil
}

// values compares the weights and zones of two servers with what the other side saw.
func values(a, b, gotA, gotB peer.Server) string {
	var words []string
	switch {
	case gotA.Weight == a.Weight && gotB.Weight == b.Weight:
		words = append(words, "weights as given")
	case gotB.Weight != 0 && gotA.Weight/gotB.Weight == a.Weight/b.Weight:
		words = append(words, fmt.Sprintf("weights in proportion (%v, %v)", gotA.Weight, gotB.Weight))
	default:
		words = append(words, fmt.Sprintf("weights %v, %v instead of %v, %v", gotA.Weight, gotB.Weight, a.Weight, b.Weight))
	}
	if gotA.Zone == a.Zone && gotB.Zone == b.Zone {
		return strings.Join(append(words, "zones as given"), ", ")
	}
	return strings.Join(append(words, fmt.Sprintf("zones %q, %q", gotA.Zone, gotB.Zone)), ", ")
}

func since(d time.Duration, ok bool) string {
	if !ok {
		return fmt.Sprintf("**there after %s**", round(d))
	}
	return round(d)
}

func round(d time.Duration) string {
	switch {
	case d < time.Second:
		return "< 1 s"
	default:
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
}
