package format

import (
	"encoding/json"
	"errors"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

type nerve struct {
	Host   string   `json:"host"`
	Port   int      `json:"port"`
	Name   string   `json:"name"`
	Weight *float64 `json:"weight,omitempty"`
	Labels texts    `json:"labels,omitempty"`
}

// Nerve is "nerve", the layout of Airbnb's Nerve and Synapse. Attributes are the labels,
// and "name", if it is not the key.
//
//	<path>/<any>   {"host":"10.0.0.1","port":8080,"name":"i-1"}
func Nerve() Format { return wrap("nerve", decodeNerve, encodeNerve) }

func decodeNerve(key string, value []byte) ([]discovery.Endpoint, error) {
	o, err := objectOf(value)
	if err != nil {
		return nil, err
	}
	host, err1 := o.string("host")
	port, err2 := o.int("port")
	name, err3 := o.string("name")
	attrs := texts{}
	var err4 error
	if raw := o["labels"]; len(raw) > 0 {
		err4 = json.Unmarshal(raw, &attrs)
	}
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	if host == "" || port == nil {
		return nil, errors.New("no host or no port")
	}
	e, err := at(hostPort(host, *port))
	if err != nil {
		return nil, err
	}
	if attrs == nil {
		attrs = texts{}
	}
	if name != "" && name != last(key) {
		attrs["name"] = name
	}
	attrs.takeZone(&e)
	if weight, ok := text(o["weight"]); ok {
		attrs["weight"] = weight
	}
	if !attrs.takeWeight(&e) {
		return nil, nil
	}
	attrs.to(&e)
	return []discovery.Endpoint{e}, nil
}

func encodeNerve(_ string, e discovery.Endpoint) (string, []byte, error) {
	attrs, err := attributes(e)
	if err != nil {
		return "", nil, err
	}
	host, port, err := splitAddr(e)
	if err != nil {
		return "", nil, err
	}
	n := nerve{Host: host, Port: port, Name: attrs.take("name"), Labels: attrs}
	if n.Name == "" {
		n.Name = keyOf(e)
	}
	if e.Weight != 0 {
		n.Weight = &e.Weight
	}
	putZone(attrs, e)
	value, err := json.Marshal(n)
	if err != nil {
		return "", nil, err
	}
	if got, err := decodeNerve(keyOf(e), value); err != nil || len(got) != 1 || !same(got[0], e) {
		return "", nil, lacks("such a name")
	}
	return keyOf(e), value, nil
}
