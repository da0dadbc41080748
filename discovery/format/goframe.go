package format

import (
	"encoding/json"
	"errors"
	"path"
	"strings"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/internal/brief"
)

const (
	// goframeLatest is the version of a service that names none.
	goframeLatest = "latest"
	// goframeParts are the parts of a key: prefix, deployment, namespace, name, version
	// and addresses. One key with fewer makes GoFrame's readers fail for all.
	goframeParts = 6
	// goframeNode is how the node of a service in ZooKeeper begins, before name and version.
	goframeNode = "service-default-default-"
)

// GoframeEtcd is "goframe-etcd", the layout of GoFrame in etcd: the key has the version
// and the addresses of an instance, the value its metadata. "version" is an attribute, if
// it is not latest. A watcher's path ends in the version, or before it, for all versions; a
// registrar's has it.
//
//	/service/default/default/<name>/<version>/10.0.0.1:8000   {"insecure":true}
func GoframeEtcd() Format {
	encode := func(p string, e discovery.Endpoint) (string, []byte, error) {
		metadata, err := goframeMetadata(p, e)
		return e.Addr, metadata, err // as it is: GoFrame reads no escapes
	}
	return wrap("goframe-etcd", decodeGoframe, encode)
}

// goframeEntry is an entry in ZooKeeper, with what is key and value in etcd.
type goframeEntry struct {
	Key   string
	Value string
}

// GoframeZK is "goframe-zk", the layout of GoFrame in ZooKeeper. GoFrame itself has one
// node for all instances of a service; its readers find any number.
//
//	/microservices/service-default-default-<name>-<version>/<any>   {"Key":"/service/default/default/<name>/<version>/10.0.0.1:8000",
//	                                                                 "Value":"{\"insecure\":true}"}
func GoframeZK() Format {
	decode := func(_ string, value []byte) ([]discovery.Endpoint, error) {
		var g goframeEntry
		if err := unmarshal(value, &g); err != nil {
			return nil, err
		}
		if g.Key == "" {
			return nil, errors.New("no Key")
		}
		return decodeGoframe(g.Key, []byte(g.Value))
	}
	encode := func(p string, e discovery.Endpoint) (string, []byte, error) {
		service, ok := strings.CutPrefix(path.Base(p), goframeNode)
		i := strings.LastIndexByte(service, '-')
		if !ok || i <= 0 {
			return "", nil, lacks("a path other than .../" + goframeNode + "<name>-<version>")
		}
		p = "/service/default/default/" + service[:i] + "/" + service[i+1:]
		metadata, err := goframeMetadata(p, e)
		if err != nil {
			return "", nil, err
		}
		value, err := json.Marshal(goframeEntry{p + "/" + e.Addr, string(metadata)})
		return keyOf(e), value, err
	}
	return wrap("goframe-zk", decode, encode)
}

func decodeGoframe(key string, value []byte) ([]discovery.Endpoint, error) {
	var attrs texts
	if err := unmarshal(value, &attrs); err != nil {
		return nil, err
	}
	if attrs == nil {
		attrs = texts{}
	}
	if parts := strings.Split(strings.Trim(key, "/"), "/"); len(parts) >= goframeParts {
		if version := parts[len(parts)-2]; version != goframeLatest {
			attrs["version"] = version
		}
	}
	var instance discovery.Endpoint
	attrs.takeZone(&instance)
	if !attrs.takeWeight(&instance) {
		return nil, nil
	}
	var eps []discovery.Endpoint
	var wrong brief.Errors
	for addr := range strings.SplitSeq(last(key), ",") {
		e, err := at(addr)
		if err != nil {
			wrong.Add(err)
			continue
		}
		e.Weight, e.Zone = instance.Weight, instance.Zone
		attrs.to(&e)
		eps = append(eps, e)
	}
	return eps, wrong.Err()
}

// goframeMetadata is e as metadata of an instance at p, which has the version.
func goframeMetadata(p string, e discovery.Endpoint) ([]byte, error) {
	if n := strings.Count(strings.Trim(p, "/"), "/") + 2; n != goframeParts {
		return nil, lacks("a path other than /service/<deployment>/<namespace>/<name>/<version>")
	}
	attrs, err := metadata(e, 1)
	if err != nil {
		return nil, err
	}
	if _, _, err := splitAddr(e); err != nil {
		return nil, err
	}
	if strings.Contains(e.Addr, ",") {
		return nil, lacks("an address with a comma: " + brief.Clip(e.Addr))
	}
	version, ok := attrs["version"]
	if want := path.Base(p); version != want && (ok || want != goframeLatest) {
		return nil, lacks("the version " + brief.Clip(version) + " below the path of the version " + brief.Clip(want))
	}
	delete(attrs, "version")
	if path.Base(p) == goframeLatest && ok {
		return nil, lacks("the version latest, which is none")
	}
	return json.Marshal(attrs)
}
