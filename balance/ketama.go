package balance

import (
	"crypto/md5" //nolint:gosec // the layout is what others use
	"encoding/binary"
	"net"
	"slices"
	"strconv"
	"strings"
)

// consistentPoints is how many points a server has by libmemcached's ring without
// weights.
const consistentPoints = 100

// Ketama returns a balancer that sends a keyed call to the server that libmemcached
// sends it to with MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, as the memcached clients for
// PHP (OPT_LIBKETAMA_COMPATIBLE), Python (pylibmc) and others do that are made with it,
// and twemproxy with "distribution: ketama" and "hash: md5". Calls without a key go as
// with [LeastInFlight].
//
// The key is memcached's (see core.WithKey), with the prefix if the client has one. A
// server's name is host:port, or the host alone if the port is 11211, by both programs;
// by libmemcached, IPv6 hosts have no brackets. For twemproxy's servers with names, and
// for Unix sockets, give [ServerName]. Weights are those of libmemcached and twemproxy:
// the mean is 160 points. Above 6553 servers each has fewer.
//
// The keys of a server that is unavailable go to the next points after its own. So they
// do in both programs if servers have the same weight and are ejected
// (MEMCACHED_BEHAVIOR_AUTO_EJECT_HOSTS, auto_eject_hosts); without that, their calls
// fail. With different weights both programs also move keys between the servers that
// stay, since they make a new ring of those; this balancer does not.
//
// Checked with libmemcached 1.1.4 and twemproxy 0.5.0: the same server for 1000 of 1000
// keys, with weights, or with unavailable servers of equal weight.
func Ketama(opts ...RingOption) Balancer {
	c := newRingConfig(opts)
	return layout{
		name: memcachedName, layOut: ketamaPoints, place: place32, keyHash: ketamaHash,
	}.balancer(c, c.sized("Ketama"))
}

// Twemproxy is [Ketama] with twemproxy's default hash of keys, fnv1a_64. That one keeps
// keys together that differ in the last characters only: of a thousand numbered keys on
// four servers, one may have half.
//
// Checked with twemproxy 0.5.0, as Ketama is.
func Twemproxy(opts ...RingOption) Balancer {
	c := newRingConfig(opts)
	return layout{
		name: memcachedName, layOut: ketamaPoints, place: place32, keyHash: twemproxyHash,
	}.balancer(c, c.sized("Twemproxy"))
}

// LibmemcachedKetama returns a balancer that sends a keyed call to the server that
// libmemcached sends it to with MEMCACHED_BEHAVIOR_KETAMA, or with
// MEMCACHED_DISTRIBUTION_CONSISTENT and its default hash function, as PHP's
// OPT_DISTRIBUTION and pylibmc's "ketama" do. It is [Ketama] with another hash function,
// Bob Jenkins's one-at-a-time, and 100 points per server. As in libmemcached, the points
// are Ketama's if servers have different weights.
//
// Checked with libmemcached 1.1.4, as Ketama is.
func LibmemcachedKetama(opts ...RingOption) Balancer {
	c := newRingConfig(opts)
	return layout{
		name: memcachedName, layOut: libmemcachedPoints, place: place32, keyHash: oneAtATime,
	}.balancer(c, c.sized("LibmemcachedKetama"))
}

// memcachedName returns host:port, or the host if the port is memcached's own.
func memcachedName(addr string) string {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		return path
	}
	host, port, err := net.SplitHostPort(addr)
	switch {
	case err != nil:
		return addr
	case port == "11211":
		return host
	default:
		return host + ":" + port
	}
}

// ketamaPoints returns for each server the four words of the MD5 of name-0, name-1 and
// so on.
func ketamaPoints(servers []ringServer) (points []point) {
	total := 0.0
	for _, s := range servers {
		total += s.weight
	}
	each := perMember(memberPoints, len(servers))
	for _, s := range servers {
		// Numbers of 32 bits, as in both programs: of 49 servers of the same weight
		// each so has 156 points.
		part := float32(s.weight) / float32(total)
		if total > 1<<24 { // too much for 32 bits
			part = float32(s.share)
		}
		groups := int(float32(float32(part*float32(each))/4) * float32(len(servers)))
		for k := range groups {
			sum := md5.Sum([]byte(s.name + "-" + strconv.Itoa(k))) //nolint:gosec // see above
			for w := 0; w < len(sum); w += 4 {
				points = append(points, point{place32(uint64(binary.LittleEndian.Uint32(sum[w:]))), s.member})
			}
		}
	}
	return points
}

func libmemcachedPoints(servers []ringServer) (points []point) {
	if slices.ContainsFunc(servers, func(s ringServer) bool { return s.weight != 1 }) {
		return ketamaPoints(servers)
	}
	each := perMember(consistentPoints, len(servers))
	for _, s := range servers {
		for k := range each {
			points = append(points, point{place32(oneAtATime(s.name + "-" + strconv.Itoa(k))), s.member})
		}
	}
	return points
}

// ketamaHash is the first word of the MD5.
func ketamaHash(key string) uint64 {
	sum := md5.Sum(bytesOf(key)) //nolint:gosec // see above
	return uint64(binary.LittleEndian.Uint32(sum[:]))
}

// twemproxyHash is FNV-1a of 64 bits, of which twemproxy computes 32. Bytes are signed
// numbers there.
func twemproxyHash(key string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(key) {
		h = (h ^ uint64(int8(key[i]))) * 1099511628211
	}
	return h
}

// oneAtATime is Bob Jenkins's hash function of that name ("A Hash Function for Hash
// Table Lookup", Dr. Dobb's, 1997). Bytes are signed numbers in libmemcached.
func oneAtATime(key string) uint64 {
	h := uint32(0)
	for i := range len(key) {
		h += uint32(int8(key[i]))
		h += h << 10
		h ^= h >> 6
	}
	h += h << 3
	h ^= h >> 11
	return uint64(h + h<<15)
}
