package format

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/internal/brief"
)

// kitexWeight is the weight of an instance that names none.
const kitexWeight = 10

// kitex is both flavours at once, since JSON names match in any case.
type kitex struct {
	Network string `json:"network"`
	Address string `json:"address"`
	Weight  int    `json:"weight"`
	Tags    texts  `json:"tags"`
}

// KitexEtcd is "kitex-etcd", the layout of CloudWeGo Kitex in etcd, and "hertz-etcd", that
// of CloudWeGo Hertz, which is the same.
//
//	kitex/registry-etcd/<service>/<address>   {"network":"tcp","address":"10.0.0.1:8888","weight":10,"tags":{}}
func KitexEtcd() Format { return kitexEtcd("kitex-etcd") }

func kitexEtcd(name string) Format {
	encode := func(_ string, e discovery.Endpoint) (string, []byte, error) {
		weight, tags, err := kitexOf(e)
		if err != nil {
			return "", nil, err
		}
		value, err := json.Marshal(kitex{Network: "tcp", Address: e.Addr, Weight: weight, Tags: tags})
		return keyOf(e), value, err
	}
	decode := func(_ string, value []byte) ([]discovery.Endpoint, error) {
		var k kitex
		if err := unmarshal(value, &k); err != nil {
			return nil, err
		}
		return k.endpoint()
	}
	return wrap(name, decode, encode)
}

// KitexZK is "kitex-zk", the layout of CloudWeGo Kitex in ZooKeeper, and "hertz-zk", that
// of CloudWeGo Hertz, which is the same: the address is the key.
//
//	/<service>/10.0.0.1:8888   {"Weight":10,"Tags":{}}
func KitexZK() Format { return kitexZK("kitex-zk") }

func kitexZK(name string) Format {
	encode := func(_ string, e discovery.Endpoint) (string, []byte, error) {
		weight, tags, err := kitexOf(e)
		if err != nil {
			return "", nil, err
		}
		value, err := json.Marshal(struct {
			Weight int
			Tags   texts
		}{weight, tags})
		return keyOf(e), value, err
	}
	decode := func(key string, value []byte) ([]discovery.Endpoint, error) {
		var k kitex
		if err := unmarshal(value, &k); err != nil {
			return nil, err
		}
		k.Network, k.Address = "tcp", addrOf(last(key))
		return k.endpoint()
	}
	return wrap(name, decode, encode)
}

func (k *kitex) endpoint() ([]discovery.Endpoint, error) {
	switch k.Network {
	case "", "tcp", "tcp4", "tcp6":
	case "unix":
		k.Address = "unix:" + k.Address
	default:
		return nil, fmt.Errorf("the network is neither tcp nor unix but %q", brief.Clip(k.Network))
	}
	e, err := at(bracketed(k.Address))
	if err != nil {
		return nil, err
	}
	if k.Weight > 0 { // Kitex takes any other for its default
		e.Weight = float64(k.Weight) / kitexWeight
	}
	k.Tags.takeZone(&e)
	k.Tags.to(&e)
	return []discovery.Endpoint{e}, nil
}

func kitexOf(e discovery.Endpoint) (weight int, tags texts, err error) {
	if weight, err = wholeWeight(e, kitexWeight); err != nil {
		return 0, nil, err
	}
	if _, _, err = splitAddr(e); err != nil {
		return 0, nil, err
	}
	tags, err = attributes(e)
	if err == nil && e.Zone != "" {
		tags["zone"] = e.Zone
	}
	return weight, tags, err
}

// bracketed puts the brackets around an IPv6 address that Kitex forgets: what is behind
// the last colon is the port.
func bracketed(addr string) string {
	i := strings.LastIndexByte(addr, ':')
	if i < 0 {
		return addr
	}
	if ip, err := netip.ParseAddr(addr[:i]); err == nil && ip.Is6() {
		return "[" + addr[:i] + "]" + addr[i:]
	}
	return addr
}
