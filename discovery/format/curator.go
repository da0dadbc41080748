package format

import (
	"encoding/json"
	"errors"
	"path"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

type curator struct {
	Name        string          `json:"name"`
	ID          string          `json:"id"`
	Address     string          `json:"address"`
	Port        *int            `json:"port"`
	SSLPort     *int            `json:"sslPort"`
	Payload     json.RawMessage `json:"payload"`
	ServiceType string          `json:"serviceType"`
	Enabled     *bool           `json:"enabled,omitempty"`
}

// curatorPayload is what Spring Cloud and Dubbo 3 keep in the payload.
type curatorPayload struct {
	Class    string `json:"@class,omitempty"`
	ID       string `json:"id"`
	Name     string `json:"name"`
	Metadata texts  `json:"metadata"`
}

// springClass makes Spring Cloud's reader, which is told the type by the
// value, take our payload.
const springClass = "org.springframework.cloud.zookeeper.discovery.ZookeeperInstance"

// Curator is "curator", the layout of Apache Curator's service discovery, with
// the payloads of Spring Cloud and Dubbo 3. The address has the plain port,
// else the one of TLS and then the attribute "secure"; with ssl, "curator:ssl",
// only the port of TLS counts. Metadata is the payload's "metadata", else the
// payload itself. Instances that are disabled, or whose instance_status is not
// UP, are left out.
//
//	<path>/2f6c.../   {"name":"svc","id":"2f6c...","address":"h","port":80,"sslPort":null,
//	                   "payload":{"metadata":{}},"serviceType":"DYNAMIC","enabled":true}
func Curator(ssl bool) Format {
	decode := func(_ string, value []byte) ([]discovery.Endpoint, error) { return decodeCurator(value, ssl) }
	encode := func(p string, e discovery.Endpoint) (string, []byte, error) { return encodeCurator(p, e, ssl) }
	return wrap("curator", decode, encode)
}

func decodeCurator(value []byte, ssl bool) ([]discovery.Endpoint, error) {
	var c curator
	if err := unmarshal(value, &c); err != nil {
		return nil, err
	}
	if c.Enabled != nil && !*c.Enabled {
		return nil, nil
	}
	port, secure := c.Port, ssl
	if ssl || port == nil {
		port, secure = c.SSLPort, true
	}
	switch {
	case c.Address == "":
		return nil, errors.New("no address")
	case port == nil && ssl:
		return nil, nil
	case port == nil:
		return nil, errors.New("no port")
	}
	e, err := at(hostPort(c.Address, *port))
	if err != nil {
		return nil, err
	}
	attrs := c.metadata()
	if status := attrs["instance_status"]; status != "" && status != "UP" {
		return nil, nil
	}
	if secure && !ssl {
		attrs["secure"] = "true"
	}
	attrs.takeZone(&e)
	if !attrs.takeWeight(&e, 1) {
		return nil, nil
	}
	attrs.to(&e)
	return []discovery.Endpoint{e}, nil
}

// metadata reads a payload of any type; it is never nil.
func (c *curator) metadata() texts {
	var payload texts
	if json.Unmarshal(c.Payload, &payload) != nil {
		if s, ok := text(c.Payload); ok {
			return texts{"payload": s}
		}
	}
	var nested texts
	if json.Unmarshal([]byte(payload["metadata"]), &nested) == nil && nested != nil {
		return nested
	}
	if payload == nil {
		return texts{}
	}
	return payload
}

func encodeCurator(p string, e discovery.Endpoint, ssl bool) (string, []byte, error) {
	attrs, err := metadata(e, 1)
	if err != nil {
		return "", nil, err
	}
	if status := attrs["instance_status"]; status != "" && status != "UP" {
		return "", nil, lacks("an instance_status other than UP")
	}
	host, port, err := splitAddr(e)
	if err != nil {
		return "", nil, err
	}
	c := curator{Name: path.Base(p), ID: keyOf(e), Address: host, ServiceType: "DYNAMIC", Enabled: new(bool)}
	*c.Enabled = true
	if ssl || attrs["secure"] == "true" {
		c.SSLPort = &port
	} else {
		c.Port = &port
	}
	if !ssl && c.SSLPort != nil {
		delete(attrs, "secure")
	}
	c.Payload, err = json.Marshal(curatorPayload{Class: springClass, ID: p, Name: c.Name, Metadata: attrs})
	if err != nil {
		return "", nil, err
	}
	value, err := json.Marshal(c)
	return c.ID, value, err
}
