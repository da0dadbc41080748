package balance_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/balance/balancetest"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

// digits are the numbers of the servers of a golden table.
const digits = "0123456789abcdefghijklmnopqrstuvwxyz"

// golden is where a real program placed keys, in one configuration.
type golden struct {
	name, keys, owners string
	servers            []discovery.Endpoint // the attribute name is that of the configuration
	down               []bool
}

// readGolden reads a file of testdata/rings.
func readGolden(t *testing.T, file string) (all []golden) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "rings", file))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch last := len(all) - 1; word {
		case "table":
			all = append(all, golden{name: rest})
		case "keys":
			all[last].keys = rest
		case "owners":
			all[last].owners = rest
		case "server":
			fields := strings.Fields(rest)
			e := discovery.Endpoint{Addr: fields[0], Attrs: map[string]string{}}
			down := false
			for _, field := range fields[1:] {
				switch name, value, _ := strings.Cut(field, "="); name {
				case "weight":
					e.Weight, err = strconv.ParseFloat(value, 64)
				case "name":
					e.Attrs["name"] = value
				case "down":
					down = true
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			all[last].servers, all[last].down = append(all[last].servers, e), append(all[last].down, down)
		}
	}
	if err := lines.Err(); err != nil || len(all) < 6 {
		t.Fatalf("%s has %d tables, error %v", file, len(all), err)
	}
	return all
}

// attrName is the name that the configuration of a golden table gives.
func attrName(e discovery.Endpoint) string { return e.Attrs["name"] }

// inOrder returns the ids of HAProxy's servers: those of the configuration, or their
// numbers.
func inOrder(g golden) func(discovery.Endpoint) uint32 {
	return func(e discovery.Endpoint) uint32 {
		for i, s := range g.servers {
			if s.Addr == e.Addr {
				if id, err := strconv.ParseUint(attrName(s), 10, 32); err == nil {
					return uint32(id)
				}
				return uint32(i + 1)
			}
		}
		return 0
	}
}

// rebuilt is how many keys are at the server of the real program where that one made a
// new ring of the servers that stayed, so that keys moved between those.
func rebuilt(file, table string) int {
	if table != "different weights, one down" {
		return 1000
	}
	switch file {
	case "twemproxy-md5.txt":
		return 960
	case "libmemcached-ketama_weighted.txt":
		return 933
	case "libmemcached-ketama.txt":
		return 924
	default:
		return 1000
	}
}

func TestKeysAreWhereTheRealProgramsPlaceThem(t *testing.T) {
	named := balance.ServerName(attrName)
	for file, ring := range map[string]func(g golden) balance.Balancer{
		"nginx.txt":                        func(golden) balance.Balancer { return balance.Nginx(named) },
		"haproxy.txt":                      func(g golden) balance.Balancer { return balance.HAProxy(inOrder(g)) },
		"twemproxy-fnv1a_64.txt":           func(golden) balance.Balancer { return balance.Twemproxy(named) },
		"twemproxy-md5.txt":                func(golden) balance.Balancer { return balance.Ketama(named) },
		"libmemcached-ketama_weighted.txt": func(golden) balance.Balancer { return balance.Ketama() },
		"libmemcached-ketama.txt":          func(golden) balance.Balancer { return balance.LibmemcachedKetama() },
		"grpc.txt":                         func(golden) balance.Balancer { return balance.GRPCRing(named) },
	} {
		for _, g := range readGolden(t, file) {
			t.Run(file+"/"+g.name, func(t *testing.T) {
				want := rebuilt(file, g.name)
				if agree, n := g.agree(ring(g)); agree != want || n != 1000 {
					t.Errorf("%d of %d keys are at the server of the real program, want %d", agree, n, want)
				}
			})
		}
	}
}

// agree returns how many keys b places as the real program does, and of how many.
func (g golden) agree(b balance.Balancer) (agree, n int) {
	var members []balance.Member
	number := map[string]int{}
	for i := range g.servers {
		i = len(g.servers) - 1 - i // the order of members says nothing
		m, load := balancetest.NewMember(g.servers[i])
		load.SetDown(g.down[i])
		number[m.Endpoint.Addr] = i
		members = append(members, m)
	}
	p := b.Build(nil, members)
	for i := range g.owners {
		key := fmt.Sprintf(g.keys, i)
		at := p.Pick(balance.PickInfo{Key: key, Hash: balance.Hash(key), Keyed: true})
		if number[members[at].Endpoint.Addr] == strings.IndexByte(digits, g.owners[i]) {
			agree++
		}
	}
	return agree, len(g.owners)
}

// compatRings are the rings of other programs. The ids of HAProxy's servers are made of
// the addresses of the suite.
func compatRings() map[string]func() balance.Balancer {
	return map[string]func() balance.Balancer{
		"Ketama":             func() balance.Balancer { return balance.Ketama() },
		"Twemproxy":          func() balance.Balancer { return balance.Twemproxy() },
		"LibmemcachedKetama": func() balance.Balancer { return balance.LibmemcachedKetama() },
		"Nginx":              func() balance.Balancer { return balance.Nginx() },
		"HAProxy":            func() balance.Balancer { return balance.HAProxy(idOfIP) },
		"GRPCRing":           func() balance.Balancer { return balance.GRPCRing() },
	}
}

func idOfIP(e discovery.Endpoint) (id uint32) {
	for part := range strings.SplitSeq(strings.TrimSuffix(e.Addr, ":9090"), ".") {
		n, err := strconv.ParseUint(part, 10, 8)
		if err != nil {
			return 0
		}
		id = id<<8 | uint32(n)
	}
	return id + 1
}

func TestAPickByTheTextOfAKeyDoesNotAllocate(t *testing.T) {
	for name, ring := range compatRings() {
		p := ring().Build(nil, fleetOf(9))
		for _, length := range []int{1, 31, 32, 33, 250, 10_000} {
			info := balance.PickInfo{Key: strings.Repeat("k", length), Keyed: true}
			if n := testing.AllocsPerRun(100, func() { p.Pick(info) }); n != 0 {
				t.Errorf("%s: a key of %d bytes: %v allocations", name, length, n)
			}
		}
	}
}

// A caller who hashes keys as the program does gets the program's placement without
// the text.
func TestAHashIsPlacedAsWhatTheKeyHashReturns(t *testing.T) {
	hash := func(key string) uint64 { return uint64(len(key)) * 0x9e3779b97f4a7c15 }
	for name, ring := range map[string]balance.Balancer{
		"Ketama": balance.Ketama(balance.KeyHash(hash)), "Twemproxy": balance.Twemproxy(balance.KeyHash(hash)),
		"LibmemcachedKetama": balance.LibmemcachedKetama(balance.KeyHash(hash)), "Nginx": balance.Nginx(balance.KeyHash(hash)),
		"HAProxy": balance.HAProxy(idOfIP, balance.KeyHash(hash)), "GRPCRing": balance.GRPCRing(balance.KeyHash(hash)),
	} {
		p := ring.Build(nil, fleetOf(9))
		seen := map[int]bool{}
		for n := 1; n <= 300; n++ {
			key := strings.Repeat("k", n)
			text, number := p.Pick(balance.PickInfo{Key: key, Keyed: true}), p.Pick(balance.PickInfo{Hash: hash(key), Keyed: true})
			if text != number {
				t.Fatalf("%s: a key of %d bytes is at %d by its text and at %d by its hash", name, n, text, number)
			}
			seen[text] = true
		}
		if len(seen) < 9 {
			t.Errorf("%s: 300 keys are on %d of 9 servers", name, len(seen))
		}
	}
}

func TestOnlyTheKeysOfAServerThatIsUnavailableMove(t *testing.T) {
	for name, ring := range compatRings() {
		var members []balance.Member
		var loads []*balancetest.Load
		for i := range 9 {
			m, load := balancetest.NewMember(discovery.Endpoint{Addr: fmt.Sprintf("10.0.0.%d:9090", i), Weight: float64(1 + i%3)})
			members, loads = append(members, m), append(loads, load)
		}
		p := ring().Build(nil, members)
		owner := func(k int) int {
			return p.Pick(balance.PickInfo{Key: fmt.Sprint(balance.Hash(fmt.Sprint(k))), Keyed: true})
		}
		var before [3000]int
		for k := range before {
			before[k] = owner(k)
		}
		for gone, load := range loads {
			load.SetDown(true)
			heirs := map[int]bool{}
			for k, was := range before {
				now := owner(k)
				if was != gone && now != was {
					t.Fatalf("%s: server %d is unavailable, and key %d moved from %d to %d", name, gone, k, was, now)
				}
				if was == gone {
					heirs[now] = true
				}
			}
			if len(heirs) < 4 {
				t.Errorf("%s: the keys of server %d went to %d others", name, gone, len(heirs))
			}
			load.SetDown(false)
			for k, was := range before {
				if now := owner(k); now != was {
					t.Fatalf("%s: all are available again, and key %d is at %d instead of %d", name, k, now, was)
				}
			}
		}
	}
}

// With gRPC and more servers than points, some have no point.
func TestAServerWithoutPointsServesKeysWhenAllOthersAreUnavailable(t *testing.T) {
	var members []balance.Member
	var loads []*balancetest.Load
	for i := range 9 {
		m, load := balancetest.NewMember(discovery.Endpoint{Addr: fmt.Sprintf("10.0.0.%d:9090", i)})
		members, loads = append(members, m), append(loads, load)
	}
	p := balance.GRPCRing(balance.RingSize(3, 4)).Build(nil, members)
	key := func(k int) balance.PickInfo {
		return balance.PickInfo{Key: fmt.Sprint(k), Hash: uint64(k), Keyed: true}
	}
	has := map[int]bool{}
	for k := range 10_000 {
		has[p.Pick(key(k))] = true
	}
	if len(has) > 5 {
		t.Fatalf("%d servers have points", len(has))
	}
	for i := range has {
		loads[i].SetDown(true)
	}
	for k := range 100 {
		if i := p.Pick(key(k)); has[i] {
			t.Errorf("key %d is at a server that is unavailable", k)
		}
	}
}

func FuzzRingsOfOtherPrograms(f *testing.F) {
	f.Add("a", "b", "c", "key", uint16(1), uint16(3), uint8(1))
	f.Add("10.0.0.1:11211", "unix:/run/socket", ":80", "", uint16(0), uint16(900), uint8(6))
	f.Add("same", "same", "", "k", uint16(7), uint16(0), uint8(7))
	f.Fuzz(func(t *testing.T, a, b, c, key string, one, other uint16, down uint8) {
		eps := []discovery.Endpoint{{Addr: "10.0.0.1:1"}, {Addr: "10.0.0.2:1", Weight: float64(one % 1000)}, {Addr: "10.0.0.3:1", Weight: float64(other%1000) / 8}}
		for i, name := range []string{a, b, c} {
			eps[i].Attrs = map[string]string{"name": name}
			if eps[i].Validate() != nil {
				t.Skip("discovery lets no such endpoint through")
			}
		}
		named := balance.ServerName(attrName)
		for _, ring := range []balance.Balancer{
			balance.Ketama(named), balance.Twemproxy(named), balance.LibmemcachedKetama(named), balance.Nginx(named), balance.GRPCRing(named),
			balance.HAProxy(func(e discovery.Endpoint) uint32 { return uint32(balance.Hash(attrName(e))) }),
		} {
			var forward, backward []balance.Member
			for i, e := range eps {
				m, load := balancetest.NewMember(e)
				load.SetDown(down>>i&1 == 1)
				forward, backward = append(forward, m), append([]balance.Member{m}, backward...)
			}
			info := balance.PickInfo{Key: key, Hash: balance.Hash(key), Keyed: true}
			i, j := ring.Build(nil, forward).Pick(info), ring.Build(nil, backward).Pick(info)
			if i < 0 || i > 2 || j != 2-i {
				t.Fatalf("%d of 3 in one order, %d in the other", i, j)
			}
			if forward[i].Unavailable() && down&7 != 7 {
				t.Fatalf("%s is unavailable", forward[i].Endpoint.Addr)
			}
		}
	})
}
