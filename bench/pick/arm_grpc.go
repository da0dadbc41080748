package main

import (
	"fmt"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/experimental/stats"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"
)

// grpcPicker is a picker of grpc-go, as its channel gets it.
type grpcPicker struct{ picker balancer.Picker }

// openGRPC opens the balancer of that name, in its default configuration.
func openGRPC(name string) func(n, busy int) (picking, error) {
	return func(n, busy int) (picking, error) {
		builder := balancer.Get(name)
		var config serviceconfig.LoadBalancingConfig
		if p, ok := builder.(balancer.ConfigParser); ok {
			var err error
			if config, err = p.ParseConfig([]byte("{}")); err != nil {
				return nil, err
			}
		}
		state := resolver.State{Endpoints: make([]resolver.Endpoint, n)}
		for i := range n {
			state.Endpoints[i].Addresses = []resolver.Address{{Addr: addr(i)}}
		}
		c := new(channel)
		b := builder.Build(c, balancer.BuildOptions{})
		if err := b.UpdateClientConnState(balancer.ClientConnState{ResolverState: state, BalancerConfig: config}); err != nil {
			return nil, err
		}
		c.connected()
		if c.state != connectivity.Ready {
			return nil, fmt.Errorf("the balancer is %v", c.state)
		}
		g := &grpcPicker{c.picker}
		for range n * busy {
			if _, err := g.picker.Pick(balancer.PickInfo{}); err != nil {
				return nil, err
			}
		}
		return g, nil
	}
}

func (g *grpcPicker) call(times int) error {
	for range times {
		r, err := g.picker.Pick(balancer.PickInfo{})
		if err != nil {
			return err
		}
		if r.Done != nil {
			r.Done(balancer.DoneInfo{})
		}
	}
	return nil
}

// channel is the part of grpc-go's channel that balancers need while no connection is lost.
type channel struct {
	balancer.ClientConn // nil: its other methods are not called
	state               connectivity.State
	picker              balancer.Picker
	last                *subConn
}

// NewSubConn reports the connection before this one ready. So the balancer learns all states during its update and makes
// one picker in the end. If 10,000 connections became ready one by one afterwards, it would take minutes.
func (c *channel) NewSubConn(_ []resolver.Address, o balancer.NewSubConnOptions) (balancer.SubConn, error) {
	c.connected()
	c.last = &subConn{listener: o.StateListener}
	return c.last, nil
}

func (c *channel) connected() {
	if s := c.last; s != nil {
		ready := balancer.SubConnState{ConnectivityState: connectivity.Ready}
		s.ready = true
		s.listener(ready) // which registers the other
		s.health(ready)
		s.listener, s.health = nil, nil // only the picker is used from now on, and need be kept
	}
}

func (c *channel) UpdateState(s balancer.State) { c.state, c.picker = s.ConnectivityState, s.Picker }

func (*channel) MetricsRecorder() stats.MetricsRecorder { return stats.UnimplementedMetricsRecorder{} }

type subConn struct {
	balancer.SubConn // nil
	listener, health func(balancer.SubConnState)
	ready            bool
}

func (*subConn) Connect() {}

func (s *subConn) RegisterHealthListener(f func(balancer.SubConnState)) { s.health = f }
