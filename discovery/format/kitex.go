package format

import (
	"encoding/json"
	"errors"

	"github.com/minicaptain/multi_connection_pool/discovery"
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

// KitexEtcd is "kitex-etcd", the layout of CloudWeGo Kitex in etcd.
//
//	kitex/registry-etcd/<service>/<address>   {"network":"tcp","address":"10.0.0.1:8888","weight":10,"tags":{}}
func KitexEtcd() Format {
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
	return wrap("kitex-etcd", decode, encode)
}

// KitexZK is "kitex-zk", the layout of CloudWeGo Kitex in ZooKeeper: the
// address is the key.
//
//	/<service>/10.0.0.1:8888   {"Weight":10,"Tags":{}}
func KitexZK() Format {
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
	return wrap("kitex-zk", decode, encode)
}

func (k *kitex) endpoint() ([]discovery.Endpoint, error) {
	switch k.Network {
	case "", "tcp", "tcp4", "tcp6":
	case "unix":
		k.Address = "unix:" + k.Address
	default:
		return nil, errors.New("the network is neither tcp nor unix but " + clip(k.Network))
	}
	e, err := at(k.Address)
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
