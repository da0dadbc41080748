package format

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// kratosWeight is the weight of an instance that names none.
const kratosWeight = 100

type kratos struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Version   string   `json:"version"`
	Metadata  texts    `json:"metadata"`
	Endpoints []string `json:"endpoints"`
}

// Kratos is "kratos", the layout of go-kratos in etcd and ZooKeeper. Each URL
// of an instance is an endpoint; "scheme" is its protocol, if it is not grpc.
// With "kratos:http" only URLs of the protocol http count, which a pool of one
// protocol wants.
//
//	/microservices/<name>/<id>   {"id":"...","name":"svc","version":"v1","metadata":{"weight":"100"},
//	                              "endpoints":["grpc://10.0.0.1:9000?isSecure=false","http://10.0.0.1:8000"]}
func Kratos(scheme string) Format {
	decode := func(_ string, value []byte) ([]discovery.Endpoint, error) {
		eps, err := decodeKratos(value)
		return ofScheme(scheme, "grpc", eps), err
	}
	encode := func(p string, e discovery.Endpoint) (string, []byte, error) { return encodeKratos(p, e, scheme) }
	return wrap("kratos", decode, encode)
}

func decodeKratos(value []byte) ([]discovery.Endpoint, error) {
	var k kratos
	if err := unmarshal(value, &k); err != nil {
		return nil, err
	}
	if len(k.Endpoints) == 0 {
		return nil, errors.New("no endpoints")
	}
	base := maps.Clone(k.Metadata)
	if base == nil {
		base = texts{}
	}
	if k.Version != "" {
		base["version"] = k.Version
	}
	var instance discovery.Endpoint
	base.takeZone(&instance)
	if !base.takeWeight(&instance, kratosWeight) {
		return nil, nil
	}
	delete(base, "scheme") // of the URL, and of nothing else
	var eps []discovery.Endpoint
	var wrong faults
	of := make(map[kratosKind]texts)
	for _, u := range k.Endpoints {
		e, err := urlAddr(u, "grpc")
		if err != nil {
			wrong.add(err)
			continue
		}
		kind := kratosKind{e.Attrs["scheme"], e.Attrs["secure"], e.Attrs["path"]}
		attrs, ok := of[kind]
		if !ok {
			if len(of) == kratosKinds {
				wrong.add(fmt.Errorf("the URL %q: its protocol and path are one kind more than the %d of an instance", clip(u), kratosKinds))
				continue
			}
			attrs = maps.Clone(base)
			maps.Copy(attrs, e.Attrs)
			of[kind] = attrs
		}
		e.Zone, e.Weight, e.Attrs = instance.Zone, instance.Weight, nil
		attrs.to(&e)
		eps = append(eps, e)
	}
	return eps, wrong.err()
}

// kratosKind is what the attributes of an instance's addresses differ in. Those of
// one kind share their map: who writes an entry cannot have it kept a thousand
// times.
type kratosKind struct{ scheme, secure, path string }

// kratosKinds is how many kinds of addresses an instance may have: each protocol,
// with TLS and without.
const kratosKinds = 4

func encodeKratos(p string, e discovery.Endpoint, scheme string) (string, []byte, error) {
	attrs, err := metadata(e, kratosWeight)
	if err != nil {
		return "", nil, err
	}
	protocol := scheme
	if protocol == "" {
		if protocol = attrs.take("scheme"); protocol == "" {
			protocol = "grpc"
		}
	}
	secure := "false"
	if attrs["secure"] == "true" {
		secure = attrs.take("secure")
	}
	k := kratos{
		ID: keyOf(e), Name: path.Base(p), Version: attrs.take("version"), Metadata: attrs,
		Endpoints: []string{protocol + "://" + e.Addr + attrs.take("path") + "?isSecure=" + secure},
	}
	value, err := json.Marshal(k)
	if err != nil {
		return "", nil, err
	}
	// Whether address, scheme and path make a URL is told by reading it.
	if got, err := Kratos(scheme).Decode("", value); err != nil || len(got) != 1 || !same(got[0], e) {
		return "", nil, lacks("such an address, scheme and path: " + clip(k.Endpoints[0]))
	}
	return k.ID, value, nil
}
