package consul

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// sharedKey is what the users of a shared client have in common. Each request
// names its own token.
type sharedKey struct {
	agent   string
	tls     discovery.TLS
	timeout time.Duration
	purpose purpose
}

// purpose keeps requests apart that must not wait for each other.
type purpose string

const (
	forLeader  purpose = "leader"  // asks whether the servers have a leader
	forAgent   purpose = "agent"   // what the agent answers by itself
	forCatalog purpose = "catalog" // what it asks a server about
)

// connections are how many each purpose takes at most: one question serves all
// watches, while each registration has its own.
//
//nolint:gochecknoglobals // a constant
var connections = map[purpose]int{forLeader: 1, forAgent: 4, forCatalog: 4}

// shared is a client that the watches or registrations at one agent share for
// what is short and does not wait. An agent has 200 connections for all
// programs of a host.
type shared struct {
	*client
	key   sharedKey
	users int // under the lock of inUse

	// run is what goes on as long as there are users, nil for nothing.
	stop  context.CancelFunc
	ended chan struct{}

	mu      sync.Mutex
	failure *failure // the next one
}

// failure is closed when it happens, and has its reason then.
type failure struct {
	happened chan struct{}
	err      error
}

// inUse are the shared clients.
//
//nolint:gochecknoglobals // that all of the process share them is the purpose
var inUse struct {
	sync.Mutex
	clients map[sharedKey]*shared
}

// share returns the client that all at the agent share for the purpose. The
// caller releases it.
func share(c *config, agent string, why purpose) (*shared, error) {
	key := sharedKey{agent, c.tls, c.timeout, why}
	inUse.Lock()
	defer inUse.Unlock()
	if s := inUse.clients[key]; s != nil {
		s.users++
		return s, nil
	}
	cl, err := newClient(&config{tls: c.tls, timeout: c.timeout}, agent, "", connections[why])
	if err != nil {
		return nil, err
	}
	s := &shared{client: cl, key: key, users: 1, failure: newFailure()}
	if why == forLeader {
		ctx, cancel := context.WithCancel(context.Background())
		s.stop, s.ended = cancel, make(chan struct{})
		go s.monitor(ctx) // the last release ends it and waits for it
	}
	if inUse.clients == nil {
		inUse.clients = make(map[sharedKey]*shared)
	}
	inUse.clients[key] = s
	return s, nil
}

func (s *shared) release() {
	inUse.Lock()
	s.users--
	last := s.users == 0
	if last {
		delete(inUse.clients, s.key)
	}
	inUse.Unlock()
	if !last {
		return
	}
	if s.stop != nil {
		s.stop()
		<-s.ended
	}
	s.close()
}

func newFailure() *failure { return &failure{happened: make(chan struct{})} }

// monitor asks once per timeout whether the agent answers and knows of a
// leader, because a request that waits for a change is silent whether Consul is
// there or not. One question serves all watches.
func (s *shared) monitor(ctx context.Context) {
	defer close(s.ended)
	tick := time.NewTicker(s.key.timeout)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if err := s.checkLeader(ctx); err != nil && ctx.Err() == nil {
			s.mu.Lock()
			s.failure.err = err
			close(s.failure.happened)
			s.failure = newFailure()
			s.mu.Unlock()
		}
	}
}

// awaitFailure waits until a question of the monitor fails, or ctx ends, and
// returns why.
func (s *shared) awaitFailure(ctx context.Context) error {
	s.mu.Lock()
	next := s.failure
	s.mu.Unlock()
	select {
	case <-next.happened:
		return next.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// checkLeader returns an error if the agent does not answer or knows of no
// leader.
func (s *shared) checkLeader(ctx context.Context) error {
	return s.call(ctx, func(ctx context.Context) error {
		leader, err := s.Status().LeaderWithQueryOptions((&api.QueryOptions{}).WithContext(ctx))
		if err == nil && leader == "" {
			err = errors.New("the servers have no leader")
		}
		return err
	})
}
