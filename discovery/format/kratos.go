package format

import (
	"encoding/json"
	"errors"
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
	var eps []discovery.Endpoint
	var errs []error
	for _, u := range k.Endpoints {
		e, err := urlAddr(u, "grpc")
		if err != nil {
			errs = append(errs, err)
			continue
		}
		attrs := maps.Clone(k.Metadata)
		if attrs == nil {
			attrs = texts{}
		}
		if k.Version != "" {
			attrs["version"] = k.Version
		}
		attrs.takeZone(&e)
		if !attrs.takeWeight(&e, kratosWeight) {
			return nil, nil
		}
		delete(attrs, "scheme") // of the URL, and of nothing else
		maps.Copy(attrs, e.Attrs)
		attrs.to(&e)
		eps = append(eps, e)
	}
	return eps, errors.Join(errs...)
}

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
