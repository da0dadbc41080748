package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

// nameAttr is the attribute of an endpoint that holds its name in twemproxy's
// configuration.
const nameAttr = "name"

// readServers reads the servers of a pool of twemproxy, each as its configuration has
// it: host:port:weight, and perhaps a name.
func readServers(lines []string) ([]discovery.Endpoint, error) {
	var all []discovery.Endpoint
	for _, line := range lines {
		server, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		at := strings.LastIndexByte(server, ':')
		if at < 0 {
			return nil, fmt.Errorf("memcached: server %q: want host:port:weight and perhaps a name", line)
		}
		weight, err := strconv.ParseUint(server[at+1:], 10, 31)
		if err != nil || weight == 0 {
			return nil, fmt.Errorf("memcached: server %q: the weight is not a number above 0", line)
		}
		e := discovery.Endpoint{Addr: server[:at], Weight: float64(weight)}
		if name != "" {
			e.Attrs = map[string]string{nameAttr: strings.TrimSpace(name)}
		}
		all = append(all, e)
	}
	return all, nil
}

// likeTwemproxy sends each key to the server that twemproxy sends it to with
// "distribution: ketama" and its default hash, so that a client can leave twemproxy
// and find its cache. For "hash: md5" it would be balance.Ketama.
func likeTwemproxy() core.Option {
	return core.WithBalancer(balance.Twemproxy(
		balance.ServerName(func(e discovery.Endpoint) string { return e.Attrs[nameAttr] }),
	))
}
