package format

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// memberPrefix is how the names of a server set's members begin. Other
// entries (vector_*) are not servers.
const memberPrefix = "member_"

type serverset struct {
	ServiceEndpoint     *serversetAddr            `json:"serviceEndpoint"`
	AdditionalEndpoints map[string]*serversetAddr `json:"additionalEndpoints"`
	Status              string                    `json:"status"`
	Shard               *int                      `json:"shard,omitempty"`
	Metadata            texts                     `json:"metadata,omitempty"`
}

type serversetAddr struct {
	Host string `json:"host"`
	Port int    `json:"port"`
}

// Serverset is "serverset", the layout of Finagle and Aurora. Only members
// that are ALIVE count. Their address is the service endpoint, or the
// additional endpoint of the given name; a member that has none of this name
// is left out.
//
//	<path>/member_0000000012   {"serviceEndpoint":{"host":"h","port":31623},
//	                            "additionalEndpoints":{"http":{...}},"status":"ALIVE","shard":7}
func Serverset(endpoint string) Format {
	decode := func(key string, value []byte) ([]discovery.Endpoint, error) {
		return decodeServerset(key, value, endpoint)
	}
	encode := func(_ string, e discovery.Endpoint) (string, []byte, error) { return encodeServerset(e, endpoint) }
	return wrap("serverset", decode, encode)
}

func decodeServerset(key string, value []byte, endpoint string) ([]discovery.Endpoint, error) {
	if !strings.HasPrefix(last(key), memberPrefix) {
		return nil, nil
	}
	var s serverset
	if err := unmarshal(value, &s); err != nil {
		return nil, err
	}
	if s.Status == "" {
		return nil, errors.New("no status")
	}
	a := s.ServiceEndpoint
	if endpoint != "" {
		a = s.AdditionalEndpoints[endpoint]
	}
	switch {
	case s.Status != "ALIVE", a == nil && endpoint != "":
		return nil, nil
	case a == nil:
		return nil, errors.New("no serviceEndpoint")
	}
	e, err := at(hostPort(a.Host, a.Port))
	if err != nil {
		return nil, err
	}
	attrs := s.Metadata
	if s.Shard != nil {
		if attrs == nil {
			attrs = texts{}
		}
		attrs["shard"] = strconv.Itoa(*s.Shard)
	}
	attrs.takeZone(&e)
	if !attrs.takeWeight(&e) {
		return nil, nil
	}
	attrs.to(&e)
	return []discovery.Endpoint{e}, nil
}

func encodeServerset(e discovery.Endpoint, endpoint string) (string, []byte, error) {
	attrs, err := metadata(e, 1)
	if err != nil {
		return "", nil, err
	}
	host, port, err := splitAddr(e)
	if err != nil {
		return "", nil, err
	}
	a := &serversetAddr{host, port}
	s := serverset{
		ServiceEndpoint:     a,
		AdditionalEndpoints: map[string]*serversetAddr{},
		Status:              "ALIVE",
		Metadata:            attrs,
	}
	if endpoint != "" {
		s.AdditionalEndpoints[endpoint] = a
	}
	if shard, err := strconv.Atoi(attrs["shard"]); err == nil && strconv.Itoa(shard) == attrs["shard"] {
		delete(attrs, "shard")
		s.Shard = &shard
	}
	value, err := json.Marshal(s)
	return memberName(e.Addr), value, err
}

// memberName is the name of the member at addr. Readers in Java take only digits behind
// the prefix, and those in Python make a number of them, so it is a number of ten digits,
// as ZooKeeper appends it to sequential nodes, and made of the address. Of 1,000 members,
// two have the same one with a probability of 1 in 20,000.
func memberName(addr string) string {
	hash := sha256.Sum256([]byte(addr))
	return fmt.Sprintf("%s%010d", memberPrefix, binary.BigEndian.Uint64(hash[:8])%1e10)
}
