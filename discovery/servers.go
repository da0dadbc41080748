package discovery

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ServerAddrs returns the addresses of a registry's servers, each with the
// port added if it has none. It does not modify servers.
//
// A server is "host", "host:port", both with an IPv6 address in brackets, or
// "unix:/path". The error names every server that is none of these by its
// position and does not quote it, because it may be a URL with a password. An
// empty list is an error, too.
func ServerAddrs(servers []string, port int) ([]string, error) {
	if len(servers) == 0 {
		return nil, errors.New("no server is listed")
	}
	var errs []error
	addrs := slices.Clone(servers)
	for i, server := range servers {
		if strings.Contains(server, "://") {
			errs = append(errs, fmt.Errorf("server %d of %d: it is a URL, not host:port; TLS is an option", i+1, len(servers)))
			continue
		}
		if err := validHost(server); err != nil {
			errs = append(errs, fmt.Errorf("server %d of %d: %w", i+1, len(servers), err))
			continue
		}
		hasPort := strings.Contains(server, ":")
		if strings.HasPrefix(server, "[") {
			hasPort = !strings.HasSuffix(server, "]")
		}
		if !hasPort {
			addrs[i] = server + ":" + strconv.Itoa(port)
		}
	}
	return addrs, errors.Join(errs...)
}
