package zk

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery/internal/wait"
)

const (
	// minPause and maxPause bound the pauses between rounds through all
	// servers: a random part of minPause, of twice as much after each further
	// round, and of maxPause at most. So the clients of a server that died do
	// not reach the next one all at once.
	minPause = 100 * time.Millisecond
	maxPause = time.Second
	// lookupTimeout bounds the lookup of a name. A round waits for slow lookups
	// for up to lookupGrace after the first address is found.
	lookupTimeout = 5 * time.Second
	lookupGrace   = 200 * time.Millisecond
)

// host is one address of a server.
type host struct {
	server string // as listed
	addr   string // "ip:port"
	err    error  // of the lookup
}

// hosts chooses the server to connect to. It makes rounds through all servers,
// each in random order, with the last used address at the end. It looks up the
// names in each round. If a lookup fails or takes long, the addresses of the last
// one are used.
type hosts struct {
	servers []string // each with its port
	lookup  func(ctx context.Context, host string) ([]string, error)
	lookups sync.WaitGroup

	// Only the goroutine that calls next uses these:
	remaining []host // of this round
	last      string // the address of the last attempt

	mu         sync.Mutex
	rounds     int                 // since the last connection
	addrs      map[string][]string // of each server
	lookupErrs map[string]error    // of the last lookup of each server
	failures   map[string]error    // the last one of each server
	failedNow  chan struct{}       // closed and replaced by each failure
}

func newHosts(servers []string) *hosts {
	return &hosts{
		servers:    servers,
		lookup:     net.DefaultResolver.LookupHost,
		addrs:      make(map[string][]string),
		lookupErrs: make(map[string]error),
		failures:   make(map[string]error),
		failedNow:  make(chan struct{}),
	}
}

// next returns the server to try, after the pause between rounds. Only the
// client's dialing goroutine calls it.
func (h *hosts) next(ctx context.Context) (host, error) {
	if len(h.remaining) == 0 {
		if err := h.pause(ctx); err != nil {
			return host{}, err
		}
		h.remaining = h.round(ctx)
	}
	next := h.remaining[0]
	h.remaining = h.remaining[1:]
	h.last = next.addr
	return next, next.err
}

func (h *hosts) pause(ctx context.Context) error {
	h.mu.Lock()
	rounds := h.rounds
	h.rounds++
	h.mu.Unlock()
	if rounds == 0 {
		return ctx.Err()
	}
	return wait.For(ctx, rand.N(min(minPause<<min(rounds-1, 10), maxPause)))
}

// round returns all addresses in the order of the attempts.
func (h *hosts) round(ctx context.Context) []host {
	all := h.lookupAll(ctx)
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	// The last used address may be that of a server that hangs.
	rank := func(t host) int {
		switch {
		case t.err != nil:
			return 2
		case t.addr == h.last:
			return 1
		default:
			return 0
		}
	}
	slices.SortStableFunc(all, func(a, b host) int { return rank(a) - rank(b) })
	return all
}

// lookupAll returns the addresses of all servers, and a host with an error for
// each server without one.
func (h *hosts) lookupAll(ctx context.Context) []host {
	done := make(chan string, len(h.servers))
	for _, s := range h.servers {
		h.lookups.Go(func() { // ends with its timeout, or with the session, which waits
			h.lookupServer(ctx, s)
			done <- s
		})
	}
	var enough <-chan time.Time
	for pending := len(h.servers); pending > 0; pending-- {
		select {
		case s := <-done:
			if enough == nil && h.addresses(s)[0].err == nil {
				t := time.NewTimer(lookupGrace)
				defer t.Stop()
				enough = t.C
			}
		case <-enough:
			pending = 1
		}
	}
	var all []host
	for _, s := range h.servers {
		all = append(all, h.addresses(s)...)
	}
	return all
}

func (h *hosts) lookupServer(ctx context.Context, server string) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	name, port, err := net.SplitHostPort(server)
	ips := []string{name}
	if _, notIP := netip.ParseAddr(name); notIP != nil && err == nil {
		ips, err = h.lookup(ctx, name)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.lookupErrs[server] = err
		return
	}
	delete(h.lookupErrs, server)
	h.addrs[server] = nil
	for _, ip := range ips {
		h.addrs[server] = append(h.addrs[server], net.JoinHostPort(ip, port))
	}
}

// addresses returns the last known addresses of a server, or one host with an
// error.
func (h *hosts) addresses(server string) []host {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []host
	for _, addr := range h.addrs[server] {
		all = append(all, host{server: server, addr: addr})
	}
	if len(all) == 0 {
		all = []host{{server: server, err: cmp.Or(h.lookupErrs[server], errors.New("its lookup is not done yet"))}}
	}
	return all
}

// connected notes that a server has answered: the next round begins after a
// short pause.
func (h *hosts) connected() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rounds = 1
	clear(h.failures)
}

// failed notes why a server could not be used.
func (h *hosts) failed(t host, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures[t.server] = err
	close(h.failedNow)
	h.failedNow = make(chan struct{})
}

// nextFailure returns a channel that is closed by the next failure.
func (h *hosts) nextFailure() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failedNow
}

// failure returns the last failure of each server, nil if none has failed since
// the last connection.
func (h *hosts) failure() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.failures) == 0 {
		return nil
	}
	return errors.New(h.describeLocked())
}

// describeFailures returns the last failure of each server as text.
func (h *hosts) describeFailures() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.describeLocked()
}

func (h *hosts) describeLocked() string {
	if len(h.failures) == 0 {
		return "no server has answered yet: " + strings.Join(h.servers, ", ")
	}
	var all []string
	for _, server := range slices.Sorted(maps.Keys(h.failures)) {
		all = append(all, server+": "+h.failures[server].Error())
	}
	return strings.Join(all, "; ")
}

// hostProvider is the client's HostProvider. The dialer chooses the server
// instead, so that a choice can pause and be canceled.
type hostProvider struct{ h *hosts }

func (hostProvider) Init([]string) error  { return nil }
func (hostProvider) Len() int             { return 1 }
func (hostProvider) Next() (string, bool) { return "", false }
func (p hostProvider) Connected()         { p.h.connected() }
