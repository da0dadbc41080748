package format

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/internal/brief"
)

// curator is an instance as it is written.
type curator struct {
	Name        string          `json:"name"`
	ID          string          `json:"id"`
	Address     string          `json:"address"`
	Port        *int            `json:"port"`
	SSLPort     *int            `json:"sslPort"`
	Payload     any             `json:"payload"`
	ServiceType string          `json:"serviceType"`
	URISpec     json.RawMessage `json:"uriSpec"`
	Enabled     bool            `json:"enabled"`
}

// curatorPayload is what Spring Cloud and Dubbo 3 keep in the payload.
type curatorPayload struct {
	Class    string `json:"@class"`
	ID       string `json:"id"`
	Name     string `json:"name"`
	Metadata texts  `json:"metadata"`
}

// A reader of Curator makes an object of the class that the payload names. Without that
// class it can read no instance of the service. So by default there is no payload, or
// one of a class that every Java has.
const (
	mapClass    = "java.util.LinkedHashMap"
	springClass = "org.springframework.cloud.zookeeper.discovery.ZookeeperInstance"
	dubboClass  = "org.apache.dubbo.registry.zookeeper.ZookeeperInstance"
)

// springURI is what Spring Cloud makes the URI of an instance from.
const springURI = `{"parts":[{"value":"scheme","variable":true},{"value":"://","variable":false},` +
	`{"value":"address","variable":true},{"value":":","variable":false},{"value":"port","variable":true}]}`

// curatorVariants are those of [Curator].
func curatorVariants() []string { return []string{"", "ssl", "spring", "dubbo"} }

// Curator is "curator", the layout of Apache Curator's service discovery, with
// the payloads of Spring Cloud and Dubbo 3. The address has the plain port,
// else the one of TLS and then the attribute "secure". Metadata is the payload's
// "metadata", else the payload itself. Instances that are disabled, or whose
// instance_status is not UP, are left out. What is written has no payload, or the
// metadata in a map of Java, which every reader of Curator can read.
//
// The variant is one of
//
//	ssl      only the port of TLS counts
//	spring   as Spring Cloud: the port of TLS counts if there is one; what is written has
//	         the payload that Spring Cloud reads, and which nothing else in Java can
//	dubbo    what is written has the payload that Dubbo 3 reads
//
// or empty. With any other, the format can be neither read nor written, which a watcher's
// Validate reports.
//
//	<path>/2f6c.../   {"name":"svc","id":"2f6c...","address":"h","port":80,"sslPort":null,
//	                   "payload":null,"serviceType":"DYNAMIC","uriSpec":null,"enabled":true}
func Curator(variant string) Format {
	decode := func(_ string, value []byte) ([]discovery.Endpoint, error) { return decodeCurator(value, variant) }
	encode := func(p string, e discovery.Endpoint) (string, []byte, error) { return encodeCurator(p, e, variant) }
	f := wrap("curator", decode, encode)
	if !slices.Contains(curatorVariants(), variant) {
		f.Decode, f.Encode = nil, nil
	}
	return f
}

func decodeCurator(value []byte, variant string) ([]discovery.Endpoint, error) {
	c, err := objectOf(value)
	if err != nil {
		return nil, err
	}
	if enabled, err := c.bool("enabled", true); err != nil || !enabled {
		return nil, err
	}
	port, err1 := c.int("port")
	sslPort, err2 := c.int("sslPort")
	address, err3 := c.string("address")
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	secure := variant == "ssl" || port == nil || variant == "spring" && sslPort != nil
	if secure {
		port = sslPort
	}
	switch {
	case address == "":
		return nil, errors.New("no address")
	case port == nil && variant == "ssl":
		return nil, nil
	case port == nil:
		return nil, errors.New("no port")
	}
	e, err := at(hostPort(address, *port))
	if err != nil {
		return nil, err
	}
	attrs := curatorMetadata(c["payload"])
	if status := attrs["instance_status"]; status != "" && !strings.EqualFold(status, "UP") {
		return nil, nil
	}
	if secure && variant != "ssl" {
		attrs["secure"] = "true"
	}
	attrs.takeZone(&e)
	if !attrs.takeWeight(&e) {
		return nil, nil
	}
	attrs.to(&e)
	return []discovery.Endpoint{e}, nil
}

// curatorMetadata reads a payload of any type; it is never nil.
func curatorMetadata(raw json.RawMessage) texts {
	var payload object
	if json.Unmarshal(raw, &payload) != nil {
		if s, ok := text(raw); ok {
			return texts{"payload": s}
		}
	}
	attrs := texts{}
	if nested := payload["metadata"]; len(nested) == 0 || nested[0] != '{' || json.Unmarshal(nested, &attrs) != nil {
		_ = json.Unmarshal(raw, &attrs) // as it was above
	}
	if attrs == nil {
		attrs = texts{}
	}
	delete(attrs, "@class") // of the object, and nothing of the server
	return attrs
}

func encodeCurator(p string, e discovery.Endpoint, variant string) (string, []byte, error) {
	attrs, err := metadata(e, 1)
	if err != nil {
		return "", nil, err
	}
	if status := attrs["instance_status"]; status != "" && !strings.EqualFold(status, "UP") {
		return "", nil, lacks("an instance_status other than UP")
	}
	host, port, err := splitAddr(e)
	if err != nil {
		return "", nil, err
	}
	c := curator{Name: path.Base(p), ID: keyOf(e), Address: host, ServiceType: "DYNAMIC", Enabled: true}
	if variant == "ssl" || attrs["secure"] == "true" {
		c.SSLPort = &port
	} else {
		c.Port = &port
	}
	if variant != "ssl" && c.SSLPort != nil {
		delete(attrs, "secure")
	}
	payload := curatorPayload{ID: c.ID, Name: c.Name, Metadata: attrs}
	switch variant {
	case "spring":
		payload.Class = springClass
		c.Payload, c.URISpec = payload, json.RawMessage(springURI)
	case "dubbo":
		payload.Class = dubboClass
		c.Payload = payload
	default:
		if len(attrs) > 0 {
			object, err := json.Marshal(attrs)
			if err != nil {
				return "", nil, err
			}
			c.Payload = json.RawMessage(`{"@class":"` + mapClass + `",` + string(object[1:]))
		}
	}
	value, err := json.Marshal(c)
	if err != nil {
		return "", nil, err
	}
	// An attribute may stand where the format has something else.
	if got, err := decodeCurator(value, variant); err != nil || len(got) != 1 || !same(got[0], e) {
		return "", nil, lacks(fmt.Sprintf("such attributes: %q", brief.Clip(fmt.Sprint(e.Attrs))))
	}
	return c.ID, value, nil
}
