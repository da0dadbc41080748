package dns

import (
	"bufio"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Bounds of resolv.conf(5).
const (
	maxServers = 3
	maxNdots   = 15
)

// resolvConfig is what resolv.conf(5) says of servers and names.
type resolvConfig struct {
	servers []string // addresses, later with the port
	search  []string // absolute domains
	ndots   int
}

// readResolvConf reads a resolv.conf. What the file does not say, or if it cannot
// be read, is as in the system's resolver: the server on this host, and the domain
// of the host's name.
func readResolvConf(file string) resolvConfig {
	r := resolvConfig{ndots: 1}
	if f, err := os.Open(file); err == nil {
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			r.line(lines.Text())
		}
	}
	if len(r.servers) == 0 {
		r.servers = []string{"127.0.0.1", "::1"}
	}
	for i, s := range r.servers {
		r.servers[i] = net.JoinHostPort(s, strconv.Itoa(defaultPort))
	}
	if r.search == nil {
		if host, err := os.Hostname(); err == nil {
			if _, domain, ok := strings.Cut(host, "."); ok {
				r.setSearch(domain)
			}
		}
	}
	return r
}

func (r *resolvConfig) line(line string) {
	if strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
		return
	}
	fields := strings.Fields(line)
	if len(fields) < 2 {
		return
	}
	switch fields[0] {
	case "nameserver":
		if _, err := netip.ParseAddr(fields[1]); err == nil && len(r.servers) < maxServers {
			r.servers = append(r.servers, fields[1])
		}
	case "domain":
		r.setSearch(fields[1])
	case "search":
		r.setSearch(fields[1:]...)
	case "options":
		for _, option := range fields[1:] {
			if text, ok := strings.CutPrefix(option, "ndots:"); ok {
				n, _ := strconv.Atoi(text)
				r.ndots = min(max(n, 0), maxNdots)
			}
		}
	}
}

func (r *resolvConfig) setSearch(domains ...string) {
	r.search = []string{}
	for _, d := range domains {
		if d = absolute(strings.ToLower(d)); d != "." {
			r.search = append(r.search, d)
		}
	}
}

// names returns the names that name may stand for, absolute, in the order in which
// they are asked for.
func (r *resolvConfig) names(name string) []string {
	if strings.HasSuffix(name, ".") {
		return []string{name}
	}
	names := make([]string, 0, len(r.search)+1)
	for _, domain := range r.search {
		full := name + "." + domain
		if _, err := newQuestion(full, typeA, false); err == nil { // else it is too long
			names = append(names, full)
		}
	}
	if strings.Count(name, ".") >= r.ndots {
		return slices.Insert(names, 0, absolute(name))
	}
	return append(names, absolute(name))
}
