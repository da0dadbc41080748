package format

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"strings"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/internal/brief"
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
// Names of services may hold slashes, so that keys of the service "shop/admin" are below
// those of "shop". An instance counts for the path that ends in its name.
//
//	/microservices/<name>/<id>   {"id":"...","name":"svc","version":"v1","metadata":{"weight":"100"},
//	                              "endpoints":["grpc://10.0.0.1:9000?isSecure=false","http://10.0.0.1:8000"]}
func Kratos(scheme string) Format {
	decode := func(isOurs func(service string) bool) discovery.Decoder {
		return func(_ string, value []byte) ([]discovery.Endpoint, error) {
			eps, err := decodeKratos(value, isOurs)
			return ofScheme(scheme, "grpc", eps), err
		}
	}
	encode := func(p string, e discovery.Endpoint) (string, []byte, error) { return encodeKratos(p, e, scheme) }
	f := wrap("kratos", decode(func(string) bool { return true }), encode)
	f.DecodeAt = func(p string) discovery.Decoder {
		return wrap("kratos", decode(func(service string) bool {
			return service == "" || strings.HasSuffix("/"+p, "/"+service)
		}), nil).Decode
	}
	f.Select = levelZero
	return f
}

// kratosService is the name of the service at p: what is below the namespace that Kratos
// has by default, else the last part.
func kratosService(p string) string {
	if name, ok := strings.CutPrefix(strings.TrimPrefix(p, "/"), "microservices/"); ok && name != "" {
		return name
	}
	return path.Base(p)
}

func decodeKratos(value []byte, isOurs func(service string) bool) ([]discovery.Endpoint, error) {
	var k kratos
	if err := unmarshal(value, &k); err != nil {
		return nil, err
	}
	if !isOurs(k.Name) {
		return nil, nil
	}
	return k.endpoints()
}

// endpoints returns one endpoint for each URL.
func (k *kratos) endpoints() ([]discovery.Endpoint, error) {
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
	base.takeWholeWeight(&instance, kratosWeight)
	delete(base, "scheme") // of the URL, and of nothing else
	var eps []discovery.Endpoint
	var wrong brief.Errors
	of := make(map[kratosKind]texts)
	for _, u := range k.Endpoints {
		e, err := urlAddr(u, "grpc")
		if err != nil {
			wrong.Add(err)
			continue
		}
		kind := kratosKind{e.Attrs["scheme"], e.Attrs["secure"], e.Attrs["path"]}
		attrs, ok := of[kind]
		if !ok {
			if len(of) == kratosKinds {
				wrong.Add(fmt.Errorf("the URL %q: its protocol and path are one kind more than the %d of an instance", brief.Clip(u), kratosKinds))
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
	return eps, wrong.Err()
}

// kratosKind is what the attributes of an instance's addresses differ in. Those of
// one kind share their map: who writes an entry cannot have it kept a thousand
// times.
type kratosKind struct{ scheme, secure, path string }

// kratosKinds is how many kinds of addresses an instance may have: each protocol,
// with TLS and without.
const kratosKinds = 4

func encodeKratos(p string, e discovery.Endpoint, scheme string) (string, []byte, error) {
	k, err := kratosOf(kratosService(p), e, scheme)
	if err != nil {
		return "", nil, err
	}
	value, err := json.Marshal(k)
	if err != nil {
		return "", nil, err
	}
	// Whether address, scheme and path make a URL is told by reading it.
	if got, err := Kratos(scheme).Decode("", value); err != nil || len(got) != 1 || !same(got[0], e) {
		return "", nil, lacks("such an address, scheme and path: " + brief.Clip(k.Endpoints[0]))
	}
	return k.ID, value, nil
}

// kratosOf returns e as an instance with one URL.
func kratosOf(service string, e discovery.Endpoint, scheme string) (kratos, error) {
	attrs, err := metadata(e, kratosWeight)
	if err != nil {
		return kratos{}, err
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
		ID: keyOf(e), Name: service, Version: attrs.take("version"),
		Endpoints: []string{protocol + "://" + e.Addr + attrs.take("path") + "?isSecure=" + secure},
	}
	if len(attrs) > 0 { // else null, as Kratos writes it
		k.Metadata = attrs
	}
	return k, nil
}
