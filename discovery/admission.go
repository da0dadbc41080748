package discovery

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/minicaptain/multi_connection_pool/internal/brief"
)

// Admission decides which endpoints a registry may name. Who can write to a
// registry otherwise chooses where its clients connect to: any port, their own
// host, the metadata service of a cloud.
//
// An endpoint is admitted if one of the rules of Allow matches it, or if there are
// none, and if no rule of Deny does. A Unix socket is admitted only by a rule of
// Allow. So the zero Admission admits every endpoint but Unix sockets. A rule is one
// of
//
//	10.0.0.0/8   fd00::/8   10.0.0.7   addresses, not names
//	db.example   *.example             names, and those below one, not addresses
//	*                                  every host
//	unix:/run/echo.sock                a socket
//	unix:/run/echo/   unix:            the sockets below a folder, every socket
//
// and a rule for hosts may end in ":port" or ":from-to", with an IPv6 address in
// brackets: 10.0.0.0/8:9000-9999, *:443, [fd00::/8]:80.
//
// A name is never looked up: a rule of Deny for addresses says nothing about a
// server that is registered by a name which stands for one of them. Use Allow.
type Admission struct {
	allow, deny []rule
	wrong       []error
}

// Allow adds rules by which endpoints are admitted.
func (a *Admission) Allow(rules ...string) { a.allow = append(a.allow, a.parse(rules)...) }

// Deny adds rules by which they are not.
func (a *Admission) Deny(rules ...string) { a.deny = append(a.deny, a.parse(rules)...) }

// Validate reports rules that are none.
func (a *Admission) Validate() error { return errors.Join(a.wrong...) }

// Check returns why e is not admitted, or nil.
func (a *Admission) Check(e Endpoint) error {
	socket := strings.HasPrefix(e.Addr, "unix:")
	matches := func(r rule) bool { return r.matches(e.Addr) }
	switch {
	case slices.ContainsFunc(a.deny, matches):
		return fmt.Errorf("discovery: endpoint %q is denied", e.Addr)
	case slices.ContainsFunc(a.allow, matches):
		return nil
	case socket:
		return fmt.Errorf("discovery: endpoint %q is a Unix socket, which only a rule of its own allows", e.Addr)
	case len(a.allow) > 0:
		return fmt.Errorf("discovery: endpoint %q is not among those that are allowed", e.Addr)
	}
	return nil
}

func (a *Admission) parse(texts []string) []rule {
	rules := make([]rule, 0, len(texts))
	for _, text := range texts {
		r, err := parseRule(text)
		if err != nil {
			a.wrong = append(a.wrong, fmt.Errorf("discovery: the rule %q %w", brief.Clip(text), err))
			continue
		}
		rules = append(rules, r)
	}
	return rules
}

// rule is one rule. Of prefix, name and socket one is set.
type rule struct {
	prefix netip.Prefix
	name   string // lower case; "*" is every host, addresses too; ".x" what is below x
	socket string // "unix:" and a path; ends in a slash, or is "unix:", for those below

	from, to uint16 // ports
}

func parseRule(text string) (r rule, err error) {
	if p, ok := strings.CutPrefix(text, "unix:"); ok {
		if p != "" && p[0] != '@' && (p[0] != '/' || p != "/" && path.Clean(p) != strings.TrimSuffix(p, "/")) {
			return r, errors.New("has a path that is not clean and absolute")
		}
		return rule{socket: text}, nil
	}
	host, r, err := cutPorts(text)
	if err != nil {
		return r, err
	}
	if prefix, err := netip.ParsePrefix(host); err == nil {
		if prefix != prefix.Masked() {
			return r, fmt.Errorf("has bits behind its prefix; %v has none", prefix.Masked())
		}
		const mapped = 96 // bits of an IPv6 address before the IPv4 address that it stands for
		if ip := prefix.Addr(); ip.Is4In6() && prefix.Bits() >= mapped {
			prefix = netip.PrefixFrom(ip.Unmap(), prefix.Bits()-mapped) // as addresses are compared
		}
		r.prefix = prefix
		return r, nil
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Zone() == "" {
		r.prefix = netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen())
		return r, nil
	}
	r.name = strings.ToLower(strings.TrimSuffix(host, "."))
	plain := r.name
	if below, ok := strings.CutPrefix(r.name, "*."); ok {
		plain, r.name = below, "."+below
	}
	if host != "*" && (plain == "" || strings.ContainsAny(plain, "*/:[]% ") || !printable(plain)) {
		return r, errors.New("is no address, prefix, name or socket")
	}
	return r, nil
}

// cutPorts cuts the ports off a rule for hosts.
func cutPorts(text string) (host string, r rule, err error) {
	host, ports := text, ""
	if inner, ok := strings.CutPrefix(text, "["); ok {
		if host, ports, ok = strings.Cut(inner, "]"); !ok || ports != "" && ports[0] != ':' {
			return "", r, errors.New("has a bracket that does not fit")
		}
		ports = strings.TrimPrefix(ports, ":")
	} else if strings.Count(text, ":") == 1 {
		if host, ports, _ = strings.Cut(text, ":"); ports == "" {
			return "", r, errors.New("has an empty port")
		}
	}
	r.from, r.to = 1, 65535
	if ports == "" {
		return host, r, nil
	}
	first, last, ranged := strings.Cut(ports, "-")
	if !ranged {
		last = first
	}
	from, err1 := strconv.ParseUint(first, 10, 16)
	to, err2 := strconv.ParseUint(last, 10, 16)
	if err1 != nil || err2 != nil || from == 0 || to < from {
		return "", r, errors.New("has no port from 1 to 65535, or range of them, behind the colon")
	}
	r.from, r.to = uint16(from), uint16(to)
	return host, r, nil
}

// matches reports whether the rule is about the endpoint at addr, which is valid.
func (r rule) matches(addr string) bool {
	if p, ok := strings.CutPrefix(addr, "unix:"); ok {
		return r.matchesSocket(p)
	}
	host, port, err := net.SplitHostPort(addr)
	n, err2 := strconv.ParseUint(port, 10, 16)
	if r.socket != "" || err != nil || err2 != nil || uint16(n) < r.from || uint16(n) > r.to {
		return false
	}
	if r.name == "*" {
		return true
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return r.prefix.IsValid() && r.prefix.Contains(ip.Unmap().WithZone(""))
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if below, ok := strings.CutPrefix(r.name, "."); ok {
		return strings.HasSuffix(host, "."+below)
	}
	return host == r.name
}

func (r rule) matchesSocket(p string) bool {
	switch want := strings.TrimPrefix(r.socket, "unix:"); {
	case r.socket == "":
		return false
	case want == "":
		return true
	case strings.HasPrefix(p, "@"), strings.HasPrefix(want, "@"): // no file
		return p == want
	case strings.HasSuffix(want, "/"):
		return strings.HasPrefix(path.Clean(p), want)
	default:
		return path.Clean(p) == want
	}
}

// Admission declares the parameters allow and deny: which endpoints the registry
// may name.
func (p *Params) Admission(v *Admission) {
	*v = Admission{}
	for _, about := range []struct {
		name, doc string
		add       func(...string)
	}{
		{"allow", "address, prefix, name or socket, with or without ports, that the registry may name; empty means every host and no socket", v.Allow},
		{"deny", "address, prefix, name or socket, with or without ports, that the registry may not name", v.Deny},
	} {
		p.all = append(p.all, param{Param: Param{about.name, "rule, may be repeated", "", about.doc}, list: true, set: func(values []string) error {
			about.add(values...)
			return v.Validate()
		}})
	}
	p.checks = append(p.checks, v.Validate)
}
