package discovery

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of an endpoint: what registries hold is not to be trusted, and appears
// in errors, events and metrics. A host name has at most 253 bytes (RFC 1035,
// 2.3.4) and the path of a socket 107 (sys/un.h).
const (
	maxAddr  = 512
	maxZone  = 256
	maxAttrs = 128 << 10 // names and values together
)

// Endpoint is one server: its address and its attributes in the registry.
//
// Addr is the identity: two endpoints with the same Addr are one server, and an
// endpoint that keeps its Addr keeps its connections, whatever else changes.
// Endpoints are values. Nobody may modify the map in Attrs once the endpoint was
// reported.
type Endpoint struct {
	// Addr is "host:port" (an IPv6 host in brackets) or "unix:/path", of at most
	// 512 bytes. A host is an IP address or of letters, digits, "-", "_" and ".".
	Addr string
	// Weight is the server's relative capacity. Zero means 1. It must be
	// finite and not negative.
	Weight float64
	// Zone is the availability zone of the server, empty if unknown: text of at
	// most 256 bytes without control characters.
	Zone string
	// Attrs holds further attributes, of at most 128 KiB in all. It may be nil.
	Attrs map[string]string
}

// Validate reports why e cannot be dialed, or nil.
func (e Endpoint) Validate() error {
	var errs []error
	if err := validAddr(e.Addr); err != nil {
		errs = append(errs, err)
	}
	if e.Weight < 0 || math.IsNaN(e.Weight) || math.IsInf(e.Weight, 0) {
		errs = append(errs, fmt.Errorf("weight %v is not a finite number >= 0", e.Weight))
	}
	switch {
	case len(e.Zone) > maxZone:
		errs = append(errs, fmt.Errorf("the zone has %d bytes, more than %d", len(e.Zone), maxZone))
	case !printable(e.Zone):
		errs = append(errs, fmt.Errorf("the zone %q is not plain text", e.Zone))
	}
	size := 0
	for name, value := range e.Attrs {
		size += len(name) + len(value)
	}
	if size > maxAttrs {
		errs = append(errs, fmt.Errorf("the attributes have %d bytes, more than %d", size, maxAttrs))
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("discovery: endpoint %.*q: %w", maxAddr, e.Addr, errors.Join(errs...))
}

// printable reports whether a line of a log shows s as it is.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// Equal reports whether e and o are the same server with the same attributes.
func (e Endpoint) Equal(o Endpoint) bool { return equal(&e, &o) }

// equal is Equal without copies.
func equal(a, b *Endpoint) bool {
	return a.Addr == b.Addr && a.Weight == b.Weight && a.Zone == b.Zone &&
		(len(a.Attrs) == 0 && len(b.Attrs) == 0 || maps.Equal(a.Attrs, b.Attrs))
}

func validAddr(addr string) error {
	if len(addr) > maxAddr {
		return fmt.Errorf("address of %d bytes, more than %d", len(addr), maxAddr)
	}
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		switch {
		case path == "":
			return errors.New("empty socket path")
		case !printable(path):
			return errors.New("the socket path is not plain text")
		}
		return nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		if inner := (*net.AddrError)(nil); errors.As(err, &inner) {
			err = errors.New(inner.Err) // without the address, which may hold anything
		}
		return fmt.Errorf("address is not host:port: %w", err)
	}
	if host == "" {
		return errors.New("address has no host")
	}
	if err := validEndpointHost(host); err != nil {
		return err
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("port %q is not a number from 1 to 65535", port)
	}
	return nil
}

// validEndpointHost returns why host is no IP address and no name, or nil. What
// other programs put in front of an address, as in tcp@10.0.0.1:80, would be looked
// up as a name, again and again.
func validEndpointHost(host string) error {
	if strings.Contains(host, ":") {
		if _, err := netip.ParseAddr(host); err != nil || !printable(host) || strings.Contains(host, "/") {
			return fmt.Errorf("host %q is not an IPv6 address", host)
		}
		return nil
	}
	if !utf8.ValidString(host) || strings.ContainsFunc(host, func(r rune) bool { return !inName(r) }) {
		return fmt.Errorf("host %q has a character that no host name has", host)
	}
	return nil
}

// inName reports whether a host name may contain r.
func inName(r rune) bool {
	if r < utf8.RuneSelf { // as nearly all are, of ten thousand endpoints
		return 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '.' || r == '-' || 'A' <= r && r <= 'Z' || r == '_'
	}
	return unicode.In(r, unicode.Letter, unicode.Mark, unicode.Number)
}
