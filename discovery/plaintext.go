package discovery

import (
	"fmt"
	"net/netip"
	"strings"
)

// AllowPlaintextCredentials declares the parameter allow_plaintext_credentials:
// whether the credentials may cross a network without TLS. It is false by default;
// see [CheckPlaintext].
func (p *Params) AllowPlaintextCredentials(v *bool) {
	p.Bool(v, "allow_plaintext_credentials", false, "whether credentials may be sent without TLS to servers on other hosts")
}

// CheckPlaintext returns an error if credentials that are sent to the servers would
// cross a network in plain text: a server is on another host, t is not enabled, and
// it is not allowed. A plugin that has credentials calls it before it connects.
//
// The servers are as [ServerAddrs] returns them. Unix sockets, loopback addresses and
// the name localhost are the program's own host. The error names a server by its
// position, because a mistaken one may have a password in it.
func CheckPlaintext(servers []string, t TLS, allowed bool) error {
	if t.Enabled || allowed {
		return nil
	}
	for i, s := range servers {
		if !ownHost(s) {
			return fmt.Errorf("the credentials would be sent to server %d of %d in plain text: switch TLS on (tls=true), "+
				"or accept that (allow_plaintext_credentials=true)", i+1, len(servers))
		}
	}
	return nil
}

// ownHost reports whether what is sent to a server stays on the program's own host.
func ownHost(server string) bool {
	if strings.HasPrefix(server, "unix:") {
		return true
	}
	host := server
	if i := strings.LastIndexByte(server, ':'); i > strings.LastIndexByte(server, ']') {
		host = server[:i]
	}
	if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return addr.Unmap().IsLoopback()
	}
	return strings.EqualFold(host, "localhost")
}
