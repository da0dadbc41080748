package format

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// hexUUID is how many digits a UUID has without dashes.
const hexUUID = 32

// ShallowParty is "shallow-party", the node names of kazoo's ShallowParty: a random UUID
// and the address, which the program gives as identifier. The entries of kazoo's Party
// are read as "value". Servers are written under a number made of their address, so that
// one that restarts has the same node.
//
//	<path>/3f6c1a52c1de4d6c9d7a1b20c5e6f708-10.0.0.1:9090
func ShallowParty() Format {
	f := wrap("shallow-party", decodeShallowParty, encodeShallowParty)
	f.NamesOnly = true
	return f
}

func decodeShallowParty(key string, _ []byte) ([]discovery.Endpoint, error) {
	name := last(key)
	if len(name) <= hexUUID || name[hexUUID] != '-' {
		return nil, errors.New("the name is not uuid-address")
	}
	if _, err := hex.DecodeString(name[:hexUUID]); err != nil {
		return nil, errors.New("the name is not uuid-address")
	}
	e, err := at(addrOf(name[hexUUID+1:]))
	if err != nil {
		return nil, err
	}
	return []discovery.Endpoint{e}, nil
}

func encodeShallowParty(_ string, e discovery.Endpoint) (string, []byte, error) {
	if err := bare(e); err != nil {
		return "", nil, err
	}
	hash := sha256.Sum256([]byte(e.Addr))
	return hex.EncodeToString(hash[:hexUUID/2]) + "-" + keyOf(e), nil, nil
}
