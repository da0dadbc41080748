package format

import (
	"encoding/json"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

type naming struct {
	Op       int
	Addr     string
	Metadata json.RawMessage
}

// GRPCNaming is "naming", the layout of etcd's gRPC naming: the key may be
// anything. Metadata that is not an object is the attribute "metadata".
//
//	<path>/10.0.0.1:9000   {"Op":0,"Addr":"10.0.0.1:9000","Metadata":{"weight":"2"}}
func GRPCNaming() Format { return wrap("naming", decodeNaming, encodeNaming) }

func decodeNaming(_ string, value []byte) ([]discovery.Endpoint, error) {
	var n naming
	if err := unmarshal(value, &n); err != nil {
		return nil, err
	}
	if n.Op != 0 { // 1 is a deletion
		return nil, nil
	}
	e, err := at(n.Addr)
	if err != nil {
		return nil, err
	}
	var attrs texts
	if json.Unmarshal(n.Metadata, &attrs) != nil {
		if s, ok := text(n.Metadata); ok {
			attrs = texts{"metadata": s}
		}
	}
	attrs.takeZone(&e)
	if !attrs.takeWeight(&e) {
		return nil, nil
	}
	attrs.to(&e)
	return []discovery.Endpoint{e}, nil
}

func encodeNaming(_ string, e discovery.Endpoint) (string, []byte, error) {
	attrs, err := metadata(e, 1)
	if err != nil {
		return "", nil, err
	}
	n := naming{Addr: e.Addr}
	if len(attrs) > 0 {
		if n.Metadata, err = json.Marshal(attrs); err != nil {
			return "", nil, err
		}
	}
	value, err := json.Marshal(n)
	return keyOf(e), value, err
}
