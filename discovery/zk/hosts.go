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
)

const (
	// firstPause and longestPause bound the pauses between rounds through all
	// servers: a random part of the first, twice that after each round, and
	// never more than the last. They keep the clients of a server that died
	// from storming the next.
	firstPause   = 100 * time.Millisecond
	longestPause = time.Second
	// lookupTimeout bounds the lookup of a name. A round does not wait for the
	// slow ones longer than lookupGrace after the first address was found.
	lookupTimeout = 5 * time.Second
	lookupGrace   = 200 * time.Millisecond
)

// host is one server to try.
type host struct {
	server string // as it was listed
	addr   string // "ip:port"
	err    error  // of looking it up
}

// hosts chooses the server to connect to: one round after the other through
// all of them, each in random order, the last one that was connected at its
// end. Names are looked up in each round; one that cannot be, or takes long,
// counts with the addresses that it had before.
type hosts struct {
	servers []string // each with its port
	lookup  func(ctx context.Context, host string) ([]string, error)
	lookups sync.WaitGroup

	// Of the one goroutine that calls next:
	left []host // of this round
	last string // the address that was tried last

	mu       sync.Mutex
	rounds   int                 // without a connection
	known    map[string][]string // addresses of each server
	unknown  map[string]error    // why a server could not be looked up the last time
	failures map[string]error    // of each server, the last one
}

func newHosts(servers []string) *hosts {
	h := &hosts{
		lookup:   net.DefaultResolver.LookupHost,
		known:    make(map[string][]string),
		unknown:  make(map[string]error),
		failures: make(map[string]error),
	}
	for _, s := range servers {
		h.servers = append(h.servers, withPort(s))
	}
	return h
}

// next returns the server to try, after the pause that is due. Only the
// client's one goroutine calls it.
func (h *hosts) next(ctx context.Context) (host, error) {
	if len(h.left) == 0 {
		if err := h.pause(ctx); err != nil {
			return host{}, err
		}
		h.left = h.round(ctx)
	}
	next := h.left[0]
	h.left = h.left[1:]
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
	t := time.NewTimer(rand.N(min(firstPause<<min(rounds-1, 10), longestPause)))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// round returns all addresses in the order in which to try them.
func (h *hosts) round(ctx context.Context) []host {
	all := h.find(ctx)
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	// False before true: the known before the unknown, and what was tried last
	// at the end, since it may be a server that hangs.
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

// find returns the addresses of all servers, and a host with an error for each
// server that has none.
func (h *hosts) find(ctx context.Context) []host {
	looked := make(chan string, len(h.servers))
	for _, s := range h.servers {
		h.lookups.Go(func() { // ends with its timeout, or with the session, which waits
			h.look(ctx, s)
			looked <- s
		})
	}
	var enough <-chan time.Time
	for pending := len(h.servers); pending > 0; pending-- {
		select {
		case s := <-looked:
			if enough == nil && h.of(s)[0].err == nil {
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
		all = append(all, h.of(s)...)
	}
	return all
}

// look looks a server up.
func (h *hosts) look(ctx context.Context, server string) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	name, port, err := net.SplitHostPort(server)
	ips := []string{name}
	if _, no := netip.ParseAddr(name); no != nil && err == nil {
		ips, err = h.lookup(ctx, name)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.unknown[server] = err
		return
	}
	delete(h.unknown, server)
	h.known[server] = nil
	for _, ip := range ips {
		h.known[server] = append(h.known[server], net.JoinHostPort(ip, port))
	}
}

// of returns the known addresses of a server, or one host with an error.
func (h *hosts) of(server string) []host {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []host
	for _, addr := range h.known[server] {
		all = append(all, host{server: server, addr: addr})
	}
	if len(all) == 0 {
		all = []host{{server: server, err: cmp.Or(h.unknown[server], errors.New("it is still being looked up"))}}
	}
	return all
}

// reached says that a server has answered: if it is lost, another round is
// begun, soon.
func (h *hosts) reached() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rounds = 1
	clear(h.failures)
}

// failed keeps why a server could not be used.
func (h *hosts) failed(t host, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures[t.server] = err
}

// trouble says what is wrong with each server.
func (h *hosts) trouble() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.failures) == 0 {
		return "no server has answered yet: " + strings.Join(h.servers, ", ")
	}
	var all []string
	for _, server := range slices.Sorted(maps.Keys(h.failures)) {
		all = append(all, server+": "+h.failures[server].Error())
	}
	return strings.Join(all, "; ")
}

// unchosen is a HostProvider for a client whose dialer chooses the server by
// itself: so the choice may pause, and be given up.
type unchosen struct{ h *hosts }

func (unchosen) Init([]string) error  { return nil }
func (unchosen) Len() int             { return 1 }
func (unchosen) Next() (string, bool) { return "", false }
func (u unchosen) Connected()         { u.h.reached() }
