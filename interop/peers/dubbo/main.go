// Command dubbo registers and finds providers with dubbo-go's registry for ZooKeeper, at
// the level of interfaces.
package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	_ "dubbo.apache.org/dubbo-go/v3/cluster/loadbalance/random" // the default
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"
	"dubbo.apache.org/dubbo-go/v3/registry"
	_ "dubbo.apache.org/dubbo-go/v3/registry/zookeeper" // registers itself
	"dubbo.apache.org/dubbo-go/v3/remoting"

	"github.com/minicaptain/multi_connection_pool/interop/peer"
)

func main() { peer.Main(map[string]peer.Library{"zk": {Register: register, Watch: watch, Pick: pick}}) }

func open(addr string, role int) (registry.Registry, error) {
	u, err := common.NewURL("zookeeper://"+addr,
		common.WithParamsValue(constant.RegistryRoleKey, strconv.Itoa(role)),
		common.WithParamsValue(constant.RegistryGroupKey, "dubbo"),
		common.WithParamsValue(constant.RegistryTimeoutKey, "10s"))
	if err != nil {
		return nil, err
	}
	return extension.GetRegistry("zookeeper", u)
}

func register(_ context.Context, addr, service string, s peer.Server) (stop func() error, err error) {
	r, err := open(addr, common.PROVIDER)
	if err != nil {
		return nil, err
	}
	u, err := common.NewURL(fmt.Sprintf("tri://%s/%s", s.Addr, service),
		common.WithMethods([]string{"Greet"}),
		common.WithParamsValue(constant.InterfaceKey, service),
		common.WithParamsValue(constant.RegistryRoleKey, strconv.Itoa(common.PROVIDER)),
		common.WithParamsValue(constant.WeightKey, strconv.Itoa(int(s.Weight))),
		common.WithParamsValue("zone", s.Zone))
	if err != nil {
		return nil, err
	}
	if err := r.Register(u); err != nil {
		return nil, err
	}
	return func() error {
		err := r.UnRegister(u)
		r.Destroy()
		return err
	}, nil
}

// set is the providers that a consumer was notified of.
type set struct {
	mu     sync.Mutex
	all    map[string]peer.Server
	urls   map[string]*common.URL
	report func([]peer.Server)
}

func (s *set) apply(anew bool, events []*registry.ServiceEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if anew {
		clear(s.all)
		clear(s.urls)
	}
	for _, e := range events {
		if e.Service == nil || e.Service.Protocol == "" {
			continue
		}
		addr := e.Service.Location
		if e.Action == remoting.EventTypeDel {
			delete(s.all, addr)
			delete(s.urls, addr)
			continue
		}
		weight, _ := strconv.ParseFloat(e.Service.GetParam(constant.WeightKey, "0"), 64)
		s.urls[addr] = e.Service
		s.all[addr] = peer.Server{Addr: addr, Weight: weight, Zone: e.Service.GetParam("zone", "")}
	}
	var list []peer.Server
	for _, server := range s.all {
		list = append(list, server)
	}
	s.report(list)
}

// Notify implements registry.NotifyListener.
func (s *set) Notify(e *registry.ServiceEvent) { s.apply(false, []*registry.ServiceEvent{e}) }

// NotifyAll implements registry.NotifyListener.
func (s *set) NotifyAll(events []*registry.ServiceEvent, done func()) {
	s.apply(true, events)
	if done != nil {
		done()
	}
}

// subscribe keeps s up to date. It returns when that fails.
func subscribe(addr, service string, s *set) error {
	r, err := open(addr, common.CONSUMER)
	if err != nil {
		return err
	}
	u, err := common.NewURL("tri://127.0.0.1/"+service,
		common.WithParamsValue(constant.InterfaceKey, service),
		common.WithParamsValue(constant.RegistryRoleKey, strconv.Itoa(common.CONSUMER)))
	if err != nil {
		return err
	}
	for ; ; time.Sleep(time.Second) { // Subscribe returns when its session is lost
		if err := r.Subscribe(u, s); err != nil {
			return err
		}
	}
}

func newSet(report func([]peer.Server)) *set {
	return &set{all: map[string]peer.Server{}, urls: map[string]*common.URL{}, report: report}
}

func watch(_ context.Context, addr, service string, report func([]peer.Server)) error {
	return subscribe(addr, service, newSet(report))
}

// pick has the default load balance over what a consumer knows after three seconds, for
// it is told of providers one by one.
func pick(_ context.Context, addr, service string) (func() (string, error), error) {
	known := newSet(func([]peer.Server) {})
	go func() { _ = subscribe(addr, service, known) }() // ends with the program
	time.Sleep(3 * time.Second)
	known.mu.Lock()
	defer known.mu.Unlock()
	var invokers []base.Invoker
	for _, u := range known.urls {
		invokers = append(invokers, base.NewBaseInvoker(u))
	}
	if len(invokers) == 0 {
		return nil, errors.New("no provider")
	}
	balance, call := extension.GetLoadbalance(constant.LoadBalanceKeyRandom), invocation.NewRPCInvocation("Greet", nil, nil)
	return func() (string, error) { return balance.Select(invokers, call).GetURL().Location, nil }, nil
}
