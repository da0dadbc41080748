package util

import (
	"context"
	"reflect"
	"sync"
	"unsafe"

	"github.com/minicaptain/multi_connection_pool/core"
)

// loans is how many loans of a connection are told apart.
const loans = 256

// conn is a connection in the pool, and to whom it is lent.
//
// Borrowers have nothing in hand but the user's connection, which is the same for
// all of them, and the server's name. So each loan has a name of its own: the text
// is the same, its place in memory is not.
type conn struct {
	user     Conn
	server   string
	names    string // the server's name, once for each of loans
	registry *registry

	mu    sync.Mutex
	loan  int // number of the last loan, below loans
	lease core.Lease[*conn]
}

// lend begins a loan and returns its name.
func (c *conn) lend(l core.Lease[*conn]) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loan, c.lease = (c.loan+1)%loans, l
	at := c.loan * len(c.server)
	return c.names[at : at+len(c.server)]
}

// lent returns the lease of the last loan, the number of the loan that has this
// name, or -1 if it is not the name of any, and whether that is the last one.
func (c *conn) lent(name string) (lease core.Lease[*conn], loan int, last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	loan = position(name, c.names)
	if loan >= 0 {
		loan /= len(c.server)
	}
	return c.lease, loan, loan == c.loan
}

// position is where s is a part of whole, in memory, or -1 if it is not.
func position(s, whole string) int {
	at := uintptr(unsafe.Pointer(unsafe.StringData(s))) - uintptr(unsafe.Pointer(unsafe.StringData(whole))) //nolint:gosec // two places are compared, none is made
	if s == "" || at >= uintptr(len(whole)) {
		return -1
	}
	return int(at)
}

// Close and Health are for the pool.
func (c *conn) Close() error {
	c.registry.remove(c)
	return c.user.Close()
}

func (c *conn) Health(context.Context) error { return c.user.Health() }

// registry finds connections by those of the user, of which several may be equal.
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

// lent appends the leases that a Put of the user's connection with this name may mean:
// the one whose loan has that name, none if it was an earlier one, and any if it is
// the name of none.
func (r *registry) lent(leases []core.Lease[*conn], user Conn, name string) []core.Lease[*conn] {
	if !reflect.ValueOf(user).Comparable() {
		return leases
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.all[user] {
		lease, loan, last := c.lent(name)
		switch {
		case last:
			return append(leases[:0], lease)
		case loan >= 0:
			return leases[:0]
		}
		leases = append(leases, lease)
	}
	return leases
}
