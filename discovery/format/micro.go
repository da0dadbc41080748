package format

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/internal/brief"
)

// microLatest is the version of a service that names none.
const microLatest = "latest"

type micro struct {
	Name      string            `json:"name"`
	Version   string            `json:"version"`
	Metadata  *struct{}         `json:"metadata"`
	Endpoints []json.RawMessage `json:"endpoints"` // the methods
	Nodes     []microNode       `json:"nodes"`
}

type microNode struct {
	Metadata texts  `json:"metadata"`
	ID       string `json:"id"`
	Address  string `json:"address"`
}

// Micro is "micro", the layout of go-micro in etcd. Attributes are the metadata of the
// node, and "version", if it is not latest.
//
//	/micro/registry/<name>/<id>   {"name":"greeter","version":"v1","metadata":null,"endpoints":[],
//	                               "nodes":[{"metadata":{"zone":"z1"},"id":"...","address":"10.0.0.1:9090"}]}
func Micro() Format { return wrap("micro", decodeMicro, encodeMicro) }

func decodeMicro(_ string, value []byte) ([]discovery.Endpoint, error) {
	const mostVersion = 256
	var m struct {
		Version string
		Nodes   []microNode
	}
	switch err := unmarshal(value, &m); {
	case err != nil:
		return nil, err
	case len(m.Nodes) == 0:
		return nil, errors.New("no nodes")
	case len(m.Version) > mostVersion:
		return nil, fmt.Errorf("the version has %d bytes, more than %d", len(m.Version), mostVersion)
	}
	bare := texts{} // of the nodes without metadata
	if m.Version != "" && m.Version != microLatest {
		bare["version"] = m.Version
	}
	var eps []discovery.Endpoint
	var wrong brief.Errors
	for _, n := range m.Nodes {
		e, err := at(n.Address)
		if err != nil {
			wrong.Add(err)
			continue
		}
		attrs := bare
		if len(n.Metadata) > 0 {
			attrs = n.Metadata
			if v := bare["version"]; v != "" {
				attrs["version"] = v
			}
			attrs.takeZone(&e)
			if !attrs.takeWeight(&e) {
				continue
			}
		}
		attrs.to(&e)
		eps = append(eps, e)
	}
	return eps, wrong.Err()
}

func encodeMicro(p string, e discovery.Endpoint) (string, []byte, error) {
	attrs, err := metadata(e, 1)
	if err != nil {
		return "", nil, err
	}
	if _, _, err := splitAddr(e); err != nil {
		return "", nil, err
	}
	if v, ok := attrs["version"]; ok && (v == "" || v == microLatest) {
		return "", nil, lacks("the version " + v)
	}
	m := micro{
		Name: path.Base(p), Version: attrs.take("version"), Endpoints: []json.RawMessage{},
		Nodes: []microNode{{ID: keyOf(e), Address: e.Addr, Metadata: attrs}},
	}
	if m.Version == "" {
		m.Version = microLatest
	}
	value, err := json.Marshal(m)
	if err != nil {
		return "", nil, err
	}
	if got, err := decodeMicro("", value); err != nil || len(got) != 1 || !same(got[0], e) {
		return "", nil, lacks("such a version")
	}
	return m.Nodes[0].ID, value, nil
}
