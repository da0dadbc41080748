package format

import (
	"errors"
	"net"
	"strings"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// Solr is "solr", the live nodes of SolrCloud in ZooKeeper: the key has address and path,
// "path". Nobody but Solr writes this format.
//
//	/live_nodes/10.0.0.1:8983_solr
func Solr() Format {
	f := wrap("solr", decodeSolr, nil)
	f.NamesOnly = true
	return f
}

func decodeSolr(key string, _ []byte) ([]discovery.Endpoint, error) {
	addr, path, ok := strings.Cut(last(key), "_")
	if i := strings.LastIndexByte(last(key), ':'); i >= 0 { // a host's name may have an underscore
		port, rest, found := strings.Cut(last(key)[i:], "_")
		addr, path, ok = last(key)[:i]+port, rest, found
	}
	if !ok {
		return nil, errors.New("the name is not address_path")
	}
	e, err := at(addr)
	if err != nil {
		return nil, err
	}
	if path = addrOf(path); path != "" {
		e.Attrs = map[string]string{"path": "/" + path}
	}
	return []discovery.Endpoint{e}, nil
}

// HBase is "hbase", the region servers of HBase in ZooKeeper: the key has host, port and
// the time at which the server began. Nobody but HBase writes this format.
//
//	/hbase/rs/host-1.example,16020,1700000000000
func HBase() Format {
	f := wrap("hbase", decodeHBase, nil)
	f.NamesOnly = true
	return f
}

func decodeHBase(key string, _ []byte) ([]discovery.Endpoint, error) {
	parts := strings.Split(last(key), ",")
	if len(parts) != 3 {
		return nil, errors.New("the name is not host,port,startcode")
	}
	e, err := at(net.JoinHostPort(parts[0], parts[1]))
	if err != nil {
		return nil, err
	}
	return []discovery.Endpoint{e}, nil
}
