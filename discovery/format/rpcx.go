package format

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/internal/brief"
)

// Rpcx is "rpcx", the layout of rpcx in ZooKeeper, etcd and Consul's key-value store:
// network and address are the key, and metadata is a query. "scheme" is the network, if it is not tcp; with "rpcx:quic"
// only servers of the network quic count. A server whose state is inactive is left out.
// Numbers of calls and connections, which servers that have metrics write again and again,
// are no attributes.
//
//	/rpcx_test/Arith/tcp@10.0.0.1:8972   weight=3&group=a&zone=eu
func Rpcx(network string) Format {
	decode := func(key string, value []byte) ([]discovery.Endpoint, error) {
		eps, err := decodeRpcx(key, value)
		return ofScheme(network, "tcp", eps), err
	}
	encode := func(_ string, e discovery.Endpoint) (string, []byte, error) { return encodeRpcx(e, network) }
	f := wrap("rpcx", decode, encode)
	f.Select = levelZero
	return f
}

func decodeRpcx(key string, value []byte) ([]discovery.Endpoint, error) {
	at0 := strings.LastIndexByte(key, '@')
	if at0 < 0 {
		return nil, errors.New("the name is not network@address")
	}
	network, addr := last(key[:at0]), addrOf(key[at0+1:])
	if network == "unix" {
		addr = "unix:" + addr
	}
	e, err := at(addr)
	if err != nil {
		return nil, err
	}
	if len(value) > maxValue {
		return nil, fmt.Errorf("the value has %d bytes, more than %d", len(value), maxValue)
	}
	attrs := texts{}
	if query, err := url.ParseQuery(string(value)); err == nil { // else it counts for nothing, as with rpcx
		for k, v := range query {
			attrs[k] = v[0]
		}
	}
	switch attrs["state"] {
	case "inactive":
		return nil, nil
	case "active":
		delete(attrs, "state")
	}
	for _, k := range []string{"calls", "connections", "tps", "scheme"} {
		delete(attrs, k)
	}
	attrs.takeZone(&e)
	attrs.takeWholeWeight(&e, 1)
	switch network {
	case "tcp", "unix": // tcp is usual, and the address says unix
	case "":
		return nil, errors.New("the name has no network before the @")
	default:
		attrs["scheme"] = network
	}
	attrs.to(&e)
	return []discovery.Endpoint{e}, nil
}

func encodeRpcx(e discovery.Endpoint, network string) (string, []byte, error) {
	if _, err := wholeWeight(e, 1); err != nil {
		return "", nil, err
	}
	attrs, err := metadata(e, 1)
	if err != nil {
		return "", nil, err
	}
	if _, _, err := splitAddr(e); err != nil {
		return "", nil, err
	}
	scheme := network
	if scheme == "" {
		if scheme = attrs.take("scheme"); scheme == "" {
			scheme = "tcp"
		}
	}
	query := make(url.Values, len(attrs))
	for k, v := range attrs {
		query.Set(k, v)
	}
	key, value := scheme+"@"+keyOf(e), []byte(query.Encode())
	// What rpcx has a meaning of its own for is told by reading it.
	if got, err := Rpcx(network).Decode(key, value); err != nil || len(got) != 1 || !same(got[0], e) || strings.ContainsAny(scheme, "/@") {
		return "", nil, lacks("such a network or such attributes: " + brief.Clip(key) + " " + brief.Clip(string(value)))
	}
	return key, value, nil
}
