package balance

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"unsafe"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// RingOption is a parameter of the rings of other programs: [Ketama], [Twemproxy],
// [LibmemcachedKetama], [Nginx], [HAProxy] and [GRPCRing].
type RingOption func(*ringConfig)

type ringConfig struct {
	name func(discovery.Endpoint) string
	hash func(key string) uint64
	// minSize and maxSize are those of RingSize, 0: not given.
	minSize, maxSize int
	err              error
}

// ServerName sets how the program's configuration names a server, where that is not
// its address: the place of a server on the ring depends on its name. For a name in
// the attribute "name":
//
//	balance.ServerName(func(e discovery.Endpoint) string { return e.Attrs["name"] })
//
// An empty name is the default: the address as that program writes it. Names must
// differ: of servers with the same name, the one with the first address has the keys
// of all. A nil function is an error of core.New. [HAProxy] has ids instead: there the
// option is an error.
func ServerName(name func(e discovery.Endpoint) string) RingOption {
	return func(c *ringConfig) {
		if name == nil {
			c.err = errors.Join(c.err, errors.New("balance: ServerName: the function is nil"))
			return
		}
		c.name = name
	}
}

// KeyHash sets the hash function of keys, for a program that is configured with
// another one than its default. Of rings of 32 bits, which all are but gRPC's, the low
// 32 bits count. It is called for each call that has the text of a key. A nil function
// is an error of core.New.
//
// It also is the place to cut what the program does not hash, such as all but
// twemproxy's hash tag.
func KeyHash(hash func(key string) uint64) RingOption {
	return func(c *ringConfig) {
		if hash == nil {
			c.err = errors.Join(c.err, errors.New("balance: KeyHash: the function is nil"))
			return
		}
		c.hash = hash
	}
}

func newRingConfig(opts []RingOption) ringConfig {
	var c ringConfig
	c.err = errors.Join(configure(&c, opts), c.err)
	return c
}

// sized returns the error of a ring without sizes that was given some.
func (c ringConfig) sized(ring string) error {
	if c.minSize == 0 && c.maxSize == 0 {
		return c.err
	}
	return errors.Join(c.err, errors.New("balance: RingSize: "+ring+" has no sizes"))
}

// layout is how a program places servers and keys on its ring.
type layout struct {
	// name returns the name of an address in the default configuration.
	name func(addr string) string
	// layOut returns the points of the servers, which are in the order of their names.
	layOut func(servers []ringServer) []point
	// keyHash is the default hash of keys, and place where a key with a hash is.
	keyHash func(key string) uint64
	place   func(hash uint64) uint64
	// nearest means that a key belongs to the nearer of its neighbors, else to the next.
	nearest bool
}

// ringServer is a server as a layout sees it.
type ringServer struct {
	discovery.Endpoint
	name   string
	weight float64
	share  float64 // of all weights
	member int32
}

// balancer returns the balancer with this layout.
func (l layout) balancer(c ringConfig, err error) Balancer {
	if c.hash != nil {
		l.keyHash = c.hash
	}
	return builder{err: err, build: func(_ Picker, members []Member) Picker {
		p := &compatRing{least: newLeast(members, defaultChoices), layout: l}
		servers := make([]ringServer, len(members))
		for i, m := range members {
			servers[i] = ringServer{Endpoint: m.Endpoint, weight: m.Weight(), share: p.share[i], member: int32(i)}
			if c.name != nil {
				servers[i].name = c.name(m.Endpoint)
			}
			if servers[i].name == "" {
				servers[i].name = l.name(m.Endpoint.Addr)
			}
		}
		slices.SortFunc(servers, func(a, b ringServer) int {
			return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.Addr, b.Addr))
		})
		p.circle = newCircle(l.layOut(servers))
		has := make([]bool, len(members))
		for _, pt := range p.points {
			has[pt.member] = true
		}
		for i := range members {
			if has[i] {
				p.placed = append(p.placed, int32(i))
			}
		}
		return p
	}}
}

// compatRing is the picker of all layouts.
type compatRing struct {
	*least
	layout
	circle
	// placed is the members that have points.
	placed []int32
}

// Pick implements [Picker].
func (p *compatRing) Pick(info PickInfo) int {
	switch {
	case !info.Keyed:
		return p.pick()
	case len(p.points) == 0:
		return p.keyed(info.Hash, nil)
	}
	hash := info.Hash
	if info.Key != "" {
		hash = p.keyHash(info.Key)
	}
	key := p.place(hash)
	at := p.from(key)
	next := p.walk(at, 1)
	if p.nearest {
		if at--; at < 0 {
			at = len(p.points) - 1
		}
		if prev := p.walk(at, -1); key-prev.at <= next.at-key { // modulo the ring
			next = prev
		}
	}
	owner := int(next.member)
	if p.members[owner].Unavailable() { // all that have points are
		if i := p.keyed(info.Hash, nil); !p.members[i].Unavailable() {
			return i
		}
	}
	return owner
}

// walk returns the first point from index at on, forward or backward, whose member is
// available, or the point at the index if none is.
func (p *compatRing) walk(at, step int) point {
	first, looked := p.points[at], int32(-1)
	for hops := range p.points {
		pt := p.points[at]
		if pt.member != looked && !p.members[pt.member].Unavailable() {
			return pt
		}
		looked = pt.member // a heavy server may have most of the points
		if hops == maxHops && !p.anyPlaced() {
			break
		}
		switch at += step; at {
		case -1:
			at = len(p.points) - 1
		case len(p.points):
			at = 0
		}
	}
	return first
}

// anyPlaced reports whether a member that has points is available.
func (p *compatRing) anyPlaced() bool {
	return slices.ContainsFunc(p.placed, func(i int32) bool { return !p.members[i].Unavailable() })
}

// counts returns how many points each server has that gets some for each unit of
// weight: at least one, and about maxPoints together at most.
func counts(servers []ringServer, each float64) []int {
	total := 0.0
	for _, s := range servers {
		total += s.weight
	}
	total = min(total*each, maxPoints)
	all := make([]int, len(servers))
	for i, s := range servers {
		all[i] = max(1, int(s.share*total+0.5))
	}
	return all
}

// bytesOf returns the bytes of s without a copy. Nobody may write to them.
func bytesOf(s string) []byte {
	return unsafe.Slice(unsafe.StringData(s), len(s)) //nolint:gosec // a copy allocates, and the hash functions only read
}

// place32 is place on a ring of 32 bits: they are the high ones of the circle's.
func place32(hash uint64) uint64 { return hash << 32 }

// sameName is the name of a server that is its address.
func sameName(addr string) string { return addr }
