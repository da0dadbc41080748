package discovery

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"strconv"
	"strings"
	"unicode"
)

// Endpoint is one server: its address and its attributes in the registry.
//
// Addr is the identity: two endpoints with the same Addr are one server, and an
// endpoint that keeps its Addr keeps its connections, whatever else changes.
// Endpoints are values. Nobody may modify the map in Attrs once the endpoint was
// reported.
type Endpoint struct {
	// Addr is "host:port" (an IPv6 host in brackets) or "unix:/path".
	Addr string
	// Weight is the server's relative capacity. Zero means 1. It must be
	// finite and not negative.
	Weight float64
	// Zone is the availability zone of the server, empty if unknown.
	Zone string
	// Attrs holds further attributes. It may be nil.
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
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("discovery: endpoint %q: %w", e.Addr, errors.Join(errs...))
}

// Equal reports whether e and o are the same server with the same attributes.
func (e Endpoint) Equal(o Endpoint) bool { return equal(&e, &o) }

// equal is Equal without copies.
func equal(a, b *Endpoint) bool {
	return a.Addr == b.Addr && a.Weight == b.Weight && a.Zone == b.Zone &&
		(len(a.Attrs) == 0 && len(b.Attrs) == 0 || maps.Equal(a.Attrs, b.Attrs))
}

func validAddr(addr string) error {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		if path == "" {
			return errors.New("empty socket path")
		}
		return nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("address is not host:port: %w", err)
	}
	if host == "" {
		return errors.New("address has no host")
	}
	if strings.ContainsFunc(host, func(r rune) bool { return r == '/' || unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return fmt.Errorf("host %q has a character that no host name has", host)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("port %q is not a number from 1 to 65535", port)
	}
	return nil
}
