package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/balance/balancetest"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

// nameAttr is the attribute that has a server's name.
const nameAttr = "name"

func named() balance.RingOption {
	return balance.ServerName(func(e discovery.Endpoint) string { return e.Attrs[nameAttr] })
}

func (nginx) ring(table) balance.Balancer { return balance.Nginx(named()) }

func (haproxy) ring(t table) balance.Balancer {
	return balance.HAProxy(func(e discovery.Endpoint) uint32 {
		i := slices.IndexFunc(t.servers, func(s server) bool { return s.addr == e.Addr })
		if id, err := strconv.ParseUint(t.servers[i].name, 10, 32); err == nil {
			return uint32(id)
		}
		return uint32(i + 1)
	})
}

func (p twemproxy) ring(table) balance.Balancer {
	if p.hash == "md5" {
		return balance.Ketama(named())
	}
	return balance.Twemproxy(named())
}

func (p libmemcached) ring(table) balance.Balancer {
	if p.behavior == "MEMCACHED_BEHAVIOR_KETAMA" {
		return balance.LibmemcachedKetama()
	}
	return balance.Ketama()
}

func (grpcRing) ring(table) balance.Balancer { return balance.GRPCRing(named()) }

// agree returns how many keys of t are where b places them.
func agree(b balance.Balancer, t table) (n int) {
	members := make([]balance.Member, len(t.servers))
	for i, s := range t.servers {
		m, load := balancetest.NewMember(discovery.Endpoint{Addr: s.addr, Weight: float64(s.weight), Attrs: map[string]string{nameAttr: s.name}})
		load.SetDown(s.down)
		members[i] = m
	}
	p := b.Build(nil, members)
	for k := range keys {
		key := t.key(k)
		if p.Pick(balance.PickInfo{Key: key, Hash: balance.Hash(key), Keyed: true}) == strings.IndexByte(digits, t.owners[k]) {
			n++
		}
	}
	return n
}
