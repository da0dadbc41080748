package format

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/internal/brief"
)

// ClickHouse is "clickhouse", the replicas of a replicated table of ClickHouse in ZooKeeper
// or ClickHouse Keeper. The address has the port of the native protocol (tcp_port). The
// attributes are "database" and "table". A replica counts while its node is_active exists,
// which goes with its session. The other port is that at which replicas fetch from one
// another, and the scheme is of that. Nobody but ClickHouse writes this format.
//
//	<table>/replicas/<replica>/host        host: ch-1.example
//	                                       port: 9009
//	                                       tcp_port: 9000
//	                                       database: default
//	                                       table: hits
//	                                       scheme: http
//	<table>/replicas/<replica>/is_active
func ClickHouse() Format {
	f := wrap("clickhouse", decodeClickHouse, nil)
	f.Child, f.Alive = "host", "is_active"
	return f
}

func decodeClickHouse(_ string, value []byte) ([]discovery.Endpoint, error) {
	switch {
	case len(value) == 0: // it is not active
		return nil, nil
	case len(value) > maxValue:
		return nil, fmt.Errorf("the value has %d bytes, more than %d", len(value), maxValue)
	}
	unescape := strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\t`, "\t", `\r`, "\r", `\b`, "\b", `\f`, "\f", `\0`, "\x00", `\'`, "'")
	fields := texts{}
	for line := range strings.Lines(string(value)) {
		name, text, ok := strings.Cut(line, ": ")
		if text, whole := strings.CutSuffix(text, "\n"); ok && whole {
			fields[name] = unescape.Replace(text)
			continue
		}
		return nil, fmt.Errorf("a line is not name: value: %q", brief.Clip(line))
	}
	for _, name := range []string{"host", "port", "tcp_port", "database", "table"} { // of all versions
		if fields[name] == "" {
			return nil, fmt.Errorf("no %s", name)
		}
	}
	port, err := strconv.Atoi(fields["tcp_port"])
	if err != nil {
		return nil, errors.New("the tcp_port is no number")
	}
	e, err := at(hostPort(fields["host"], port))
	if err != nil {
		return nil, err
	}
	e.Attrs = map[string]string{"database": fields["database"], "table": fields["table"]}
	return []discovery.Endpoint{e}, nil
}
