package format

import (
	"fmt"
	"strings"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/internal/brief"
)

// PlainValue is "value", and "go-kit" and "go-zero", whose layout it is, and that of
// kazoo's parties: the value is the address, or a URL, whose scheme and path become
// attributes; the key may be anything.
//
//	<path>/7587869134542098693   10.0.0.1:8080
//	<path>/0000000012            http://10.0.0.1:8080
func PlainValue() Format { return plainValue("value") }

func plainValue(name string) Format { return wrap(name, decodeValue, encodeValue) }

func decodeValue(_ string, value []byte) ([]discovery.Endpoint, error) {
	const most = 2048 // an address, with a scheme and a path
	if len(value) > most {
		return nil, fmt.Errorf("a value of %d bytes is no address", len(value))
	}
	s := strings.TrimSpace(string(value))
	var e discovery.Endpoint
	var err error
	if strings.Contains(s, "://") {
		e, err = urlAddr(s, "")
	} else {
		e, err = at(s)
	}
	if err != nil {
		return nil, err
	}
	return []discovery.Endpoint{e}, nil
}

func encodeValue(_ string, e discovery.Endpoint) (string, []byte, error) {
	if err := bare(e, "scheme", "path"); err != nil {
		return "", nil, err
	}
	s := e.Addr
	scheme, hasScheme := e.Attrs["scheme"]
	if path, ok := e.Attrs["path"]; hasScheme || ok {
		s = scheme + "://" + e.Addr + path
	}
	// Whether all of that is a URL is told by reading it.
	if got, err := decodeValue("", []byte(s)); err != nil || !got[0].Equal(e) {
		return "", nil, lacks("such an address, scheme and path: " + brief.Clip(s))
	}
	return keyOf(e), []byte(s), nil
}
