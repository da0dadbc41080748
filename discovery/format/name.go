package format

import (
	"net/url"
	"strings"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// PlainKey is "name", the layout of the original library: the address is the key,
// and the value is empty. It holds nothing but addresses.
//
//	<path>/10.0.0.1:9090
func PlainKey() Format {
	f := wrap("name", decodeName, encodeName)
	f.NamesOnly = true
	return f
}

func decodeName(key string, _ []byte) ([]discovery.Endpoint, error) {
	e, err := at(addrOf(last(key)))
	if err != nil {
		return nil, err
	}
	return []discovery.Endpoint{e}, nil
}

func encodeName(_ string, e discovery.Endpoint) (string, []byte, error) {
	if err := bare(e); err != nil {
		return "", nil, err
	}
	return keyOf(e), nil, nil
}

// addrOf is the reverse of keyOf. A percent sign stands for itself where another program
// wrote a scope of IPv6 as it is, which may read like an escape: [fe80::1%41]:80.
func addrOf(key string) string {
	i := strings.IndexByte(key, '%')
	if i < 0 || key[0] == '[' && !strings.HasPrefix(key[i:], "%25") {
		return key
	}
	if addr, err := url.PathUnescape(key); err == nil {
		return addr
	}
	return key
}
