package format

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/internal/brief"
)

// Kafka is "kafka", the brokers of Kafka in ZooKeeper. Each listener is an endpoint;
// "scheme" is its name, if it is not PLAINTEXT, "secure" says that its protocol has TLS,
// and "id" is the broker's number. Zone is the rack. With "kafka:SSL" only the listener of
// the name SSL counts. Nobody but Kafka writes this format.
//
//	/brokers/ids/1   {"listener_security_protocol_map":{"PLAINTEXT":"PLAINTEXT"},"endpoints":["PLAINTEXT://10.0.0.1:9092"],
//	                  "jmx_port":-1,"port":9092,"host":"10.0.0.1","version":5,"timestamp":"1700000000000"}
func Kafka(listener string) Format {
	decode := func(key string, value []byte) ([]discovery.Endpoint, error) {
		eps, err := decodeKafka(key, value)
		return ofScheme(listener, kafkaListener, eps), err
	}
	return wrap("kafka", decode, nil)
}

const kafkaListener = "PLAINTEXT"

func decodeKafka(key string, value []byte) ([]discovery.Endpoint, error) {
	o, err := objectOf(value)
	if err != nil {
		return nil, err
	}
	var listeners []string
	var protocols texts
	host, err1 := o.string("host")
	port, err2 := o.int("port")
	rack, err3 := o.string("rack")
	version, err4 := o.int("version")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	if version == nil {
		return nil, errors.New("no version")
	}
	for k, v := range map[string]any{"endpoints": &listeners, "listener_security_protocol_map": &protocols} {
		if raw := o[k]; len(raw) > 0 && json.Unmarshal(raw, v) != nil {
			return nil, fmt.Errorf("%s is not as expected", k)
		}
	}
	if len(listeners) == 0 && host != "" && port != nil { // version 1
		listeners = []string{kafkaListener + "://" + hostPort(host, *port)}
	}
	if len(listeners) == 0 {
		return nil, errors.New("no endpoints")
	}
	var eps []discovery.Endpoint
	var wrong brief.Errors
	for _, l := range listeners {
		name, addr, ok := strings.Cut(l, "://")
		if !ok {
			wrong.Add(fmt.Errorf("the listener %q is not a URL", brief.Clip(l)))
			continue
		}
		e, err := at(addr)
		if err != nil {
			wrong.Add(err)
			continue
		}
		e.Zone = rack
		attrs := texts{}
		if id := last(key); id != "" && len(id) <= len("2147483647") {
			attrs["id"] = id
		}
		if name != kafkaListener {
			attrs["scheme"] = name
		}
		if protocol, ok := protocols[name]; ok && strings.HasSuffix(protocol, "SSL") || !ok && strings.HasSuffix(name, "SSL") {
			attrs["secure"] = "true"
		}
		attrs.to(&e)
		eps = append(eps, e)
	}
	return eps, wrong.Err()
}
