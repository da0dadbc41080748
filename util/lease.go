package util

import (
	"context"
	"reflect"
	"sync"

	"github.com/minicaptain/multi_connection_pool/core"
)

// leaseNames is how many leases of a connection have names of their own.
const leaseNames = 256

// conn is a pooled connection and its last lease.
//
// Every lease of a connection returns the same two values: the user's connection,
// since programs assert its type, and the server's name. So each lease gets its
// own copy of the name. The copies have the same text and different places in
// memory, which reflect reads; the place tells Put which lease ends.
type conn struct {
	user     Conn
	server   string
	names    string // the server's name, leaseNames times
	registry *registry

	mu     sync.Mutex
	number int // of the last lease, modulo leaseNames
	lease  core.Lease[*conn]
}

// begin records a lease and returns its copy of the server's name.
func (c *conn) begin(l core.Lease[*conn]) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.number, c.lease = (c.number+1)%leaseNames, l
	at := c.number * len(c.server)
	return c.names[at : at+len(c.server)]
}

// match says which lease of a connection a name belongs to.
type match int

const (
	matchUnknown match = iota // the name is no lease's copy
	matchEarlier
	matchLast
)

// last returns the last lease, and whether name is its copy.
func (c *conn) last(name string) (core.Lease[*conn], match) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch at := offset(name, c.names); {
	case at < 0:
		return c.lease, matchUnknown
	case at/len(c.server) == c.number:
		return c.lease, matchLast
	default:
		return c.lease, matchEarlier
	}
}

// offset returns where in the memory of whole the string s begins, or -1 if s is no
// part of it.
func offset(s, whole string) int {
	at := reflect.ValueOf(s).Pointer() - reflect.ValueOf(whole).Pointer()
	if s == "" || at >= uintptr(len(whole)) {
		return -1
	}
	return int(at)
}

// Close implements io.Closer for the pool.
func (c *conn) Close() error {
	c.registry.remove(c)
	return c.user.Close()
}

// Health implements core.HealthChecker.
func (c *conn) Health(context.Context) error { return c.user.Health() }

// registry finds pooled connections by the user's, of which several may be equal.
type registry struct {
	mu  sync.Mutex
	all map[Conn][]*conn
}

func (r *registry) add(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all[c.user] = append(r.all[c.user], c)
}

func (r *registry) remove(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var rest []*conn
	for _, o := range r.all[c.user] {
		if o != c {
			rest = append(rest, o)
		}
	}
	if r.all[c.user] = rest; rest == nil {
		delete(r.all, c.user)
	}
}

// find appends the leases that a Put of the user's connection with this name may
// mean to leases, which is empty: the one that the name belongs to, none if the name
// belongs to an earlier lease, and every last lease if it belongs to none.
func (r *registry) find(leases []core.Lease[*conn], user Conn, name string) []core.Lease[*conn] {
	if !reflect.ValueOf(user).Comparable() {
		return leases
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.all[user] {
		switch lease, m := c.last(name); m {
		case matchLast:
			return append(leases[:0], lease)
		case matchEarlier:
			return leases[:0]
		case matchUnknown:
			leases = append(leases, lease)
		}
	}
	return leases
}
