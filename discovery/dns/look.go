package dns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// hardlyEver is the weight of a server whose SRV record has weight 0, beside
// others. Their weights are whole numbers.
const hardlyEver = 0.01

// maxFound bounds the servers of one look, of which few targets may have a great
// many: four times as many as a pool takes.
const maxFound = 4 * discovery.DefaultMaxEndpoints

// maxAliases bounds the aliases that are followed from question to question.
const maxAliases = 8

// look is one look at the name: what the servers say at one time.
type look struct {
	*config
	*client
	// known are the addresses of targets in the last look. They outlive a Watch, too.
	known map[string][]netip.Addr
	found map[string][]netip.Addr
	// answering is the name, of those that the search domains make, that had records
	// last. It outlives a Watch.
	answering *atomic.Pointer[string]

	endpoints map[string]discovery.Endpoint
	skipped   map[string]error // by target or address
	// missing is why there is no server, if the servers are sure of that.
	missing error
	ttl     time.Duration // below zero if nobody says
}

// lookUp looks at the name. An error means that the set is in doubt.
func (l *look) lookUp(ctx context.Context) error {
	l.endpoints, l.skipped, l.found = map[string]discovery.Endpoint{}, map[string]error{}, map[string][]netip.Addr{}
	l.missing, l.ttl = nil, -1
	names, servers := []string{absolute(l.name)}, l.config.servers
	if len(servers) == 0 {
		system := l.system()
		names, servers = system.names(l.name), system.servers
	}
	l.use(servers)
	defer l.close()
	resolve := l.services
	if l.port != 0 {
		resolve = l.hosts
	}
	if err := l.first(ctx, names, resolve); err != nil {
		return err
	}
	if len(l.endpoints) == 0 && len(l.skipped) > 0 {
		var errs []error
		for _, key := range sortedKeys(l.skipped) {
			errs = append(errs, l.skipped[key])
		}
		return fmt.Errorf("no record can be a server: %w", errors.Join(errs[:min(len(errs), 5)]...))
	}
	l.known = l.found
	return nil
}

// first takes the records of the first of the names that has any, or notes why there
// are none. As in the system's resolver, a name that servers do not answer for stands
// in the way of no later one, unless it is the one that had the records until now: a
// later one may be another service.
func (l *look) first(ctx context.Context, names []string, resolve func(ctx context.Context, name string) (missing, err error)) error {
	var missing, failed []error
	refused := true
	for _, name := range names {
		none, err := resolve(ctx, name)
		f := (*failure)(nil)
		last := l.answering.Load()
		switch {
		case err == nil && none == nil:
			l.answering.Store(&name)
			return nil
		case err == nil:
			missing = append(missing, none)
			continue
		case errors.As(err, &f) && f.answered && f.name == name && (last == nil || *last != name):
			clear(l.endpoints)
			clear(l.skipped)
		case f == nil || !f.refused:
			return err
		default:
			return discovery.Permanent(err) // asking again soon does not help
		}
		failed = append(failed, err)
		refused = refused && f.refused
	}
	switch err := errors.Join(failed...); {
	case err == nil:
		l.missing = fmt.Errorf("dns: %w", errors.Join(missing...))
		return nil
	case refused:
		return discovery.Permanent(err)
	default:
		return err
	}
}

// none is why a name has no records of a type.
func none(name, kinds string, a answer) error {
	if a.code == dnsmessage.RCodeNameError {
		return fmt.Errorf("the name %s does not exist (NXDOMAIN)", name)
	}
	return fmt.Errorf("the name %s has no %s records", name, kinds)
}

// hosts makes a server of each address of the name. The first error is why there is
// none.
func (l *look) hosts(ctx context.Context, name string) (missing, err error) {
	ips, missing, err := l.addresses(ctx, name)
	for _, ip := range ips {
		l.add(ip, l.port, discovery.Endpoint{})
	}
	return missing, err
}

// addresses returns the addresses of a name, or why it has none.
func (l *look) addresses(ctx context.Context, name string) (ips []netip.Addr, missing, err error) {
	kinds := []dnsmessage.Type{typeA, typeAAAA}
	switch l.family {
	case familyIPv4:
		kinds = kinds[:1]
	case familyIPv6:
		kinds = kinds[1:]
	}
	asked := make([]string, 0, len(kinds))
	for _, kind := range kinds {
		a, err := l.records(ctx, name, kind)
		if err != nil {
			return nil, nil, err
		}
		asked = append(asked, kindName(kind))
		missing = none(name, strings.Join(asked, " or "), a)
		for _, r := range a.records {
			ips = append(ips, r.ip)
		}
		if len(ips) > 0 && l.family == familyAny || a.code == dnsmessage.RCodeNameError {
			break
		}
	}
	if len(ips) > 0 {
		missing = nil
	}
	return ips, missing, nil
}

// records asks for the records of a name, and of what it is an alias of.
func (l *look) records(ctx context.Context, name string, kind dnsmessage.Type) (answer, error) {
	at := name
	for range maxAliases {
		a, err := l.ask(ctx, at, kind)
		if err != nil {
			return a, err
		}
		l.ttl = shorter(l.ttl, a.ttl)
		if len(a.bad) > 0 && len(a.records) == 0 {
			return a, errors.Join(a.bad...)
		}
		for i, bad := range a.bad {
			l.skipped[fmt.Sprintf("%s#%d", at, i+1)] = bad
		}
		// A server that looks no further, for it has other names alone, leaves the
		// rest of the way to who asks.
		if len(a.records) > 0 || a.alias == absolute(at) || a.code == dnsmessage.RCodeNameError {
			return a, nil
		}
		at = a.alias
	}
	return answer{}, fmt.Errorf("%s %s: more than %d aliases, one of another", kindName(kind), name, maxAliases)
}

// services makes a server of each address of the targets of SRV records. The first
// error is why there is none.
func (l *look) services(ctx context.Context, name string) (missing, err error) {
	a, err := l.records(ctx, name, typeSRV)
	switch {
	case err != nil:
		return nil, err
	case len(a.records) == 0:
		missing = none(name, "SRV", a)
		if a.code == dnsmessage.RCodeSuccess {
			missing = fmt.Errorf("%w; for the addresses of a name, append the port: %s:80", missing, strings.TrimSuffix(name, "."))
		}
		return missing, nil
	}
	records := slices.DeleteFunc(a.records, func(r record) bool { return r.target == "." })
	if len(records) == 0 {
		return fmt.Errorf("the records of %s say that there is no such service (target \".\")", name), nil
	}
	slices.SortFunc(records, func(a, b record) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), -cmp.Compare(a.weight, b.weight),
			cmp.Compare(a.target, b.target), cmp.Compare(a.port, b.port))
	})
	records = slices.Compact(records)
	for len(records) > 0 {
		same := slices.IndexFunc(records, func(r record) bool { return r.priority != records[0].priority })
		if same < 0 {
			same = len(records)
		}
		if err := l.targets(ctx, records[:same], a.extra); err != nil {
			return nil, err
		}
		if len(l.endpoints) > 0 && !l.allPriorities {
			break
		}
		records = records[same:]
	}
	return nil, nil
}

// targets makes servers of records of one priority.
func (l *look) targets(ctx context.Context, records []record, extra map[string][]netip.Addr) error {
	alike := records[0].weight == 0 // they are in the order of their weights
	for _, r := range records {
		if r.port == 0 {
			l.skipped[r.target] = fmt.Errorf("the SRV record of %s has port 0", r.target)
			continue
		}
		ips, err := l.target(ctx, r.target, extra)
		if err != nil {
			return err
		}
		weight := float64(r.weight)
		switch {
		case alike && len(ips) > 1:
			weight = 1
		case !alike && r.weight == 0:
			weight = hardlyEver
		}
		for _, ip := range ips {
			e := discovery.Endpoint{Weight: weight / float64(len(ips))}
			if l.allPriorities {
				e.Attrs = map[string]string{"priority": strconv.Itoa(int(r.priority))}
			}
			l.add(ip, r.port, e)
		}
		if len(l.endpoints) > maxFound {
			return discovery.Permanent(fmt.Errorf("the targets have more than %d addresses", maxFound))
		}
	}
	return nil
}

// target returns the addresses of a target, once for all its records: those of the
// answer, or what its server says. It has none if it is to be left out.
func (l *look) target(ctx context.Context, target string, extra map[string][]netip.Addr) ([]netip.Addr, error) {
	if ips, ok := l.found[target]; ok {
		return ips, nil
	}
	ips := l.ofFamily(extra[target])
	if len(ips) == 0 {
		var missing, err error
		ips, missing, err = l.addresses(ctx, target)
		if f := (*failure)(nil); errors.As(err, &f) && f.answered {
			// A target that no server answers for costs no more than itself, but
			// does at the first look, which is of servers that may have just begun.
			f.refused = false
			if l.known != nil {
				missing = fmt.Errorf("target %w", err)
				if ips, err = l.known[target], nil; len(ips) > 0 {
					missing = nil
				}
			}
		}
		if err != nil {
			return nil, fmt.Errorf("target %s: %w", target, err)
		}
		if missing != nil {
			l.skipped[target] = missing
		}
	}
	l.found[target] = ips
	return ips, nil
}

// ofFamily returns those of the addresses that count.
func (l *look) ofFamily(ips []netip.Addr) []netip.Addr {
	is4, is6 := netip.Addr.Is4, func(ip netip.Addr) bool { return !ip.Is4() }
	keep := func(f func(netip.Addr) bool) []netip.Addr {
		return slices.DeleteFunc(slices.Clone(ips), func(ip netip.Addr) bool { return !f(ip) })
	}
	switch l.family {
	case familyIPv4:
		return keep(is4)
	case familyIPv6:
		return keep(is6)
	case familyBoth:
		return ips
	default:
		if v4 := keep(is4); len(v4) > 0 {
			return v4
		}
		return ips
	}
}

// add adds a server. Of several records of one address, the first counts: the
// lowest priority, and then the highest weight.
func (l *look) add(ip netip.Addr, port uint16, e discovery.Endpoint) {
	e.Addr = netip.AddrPortFrom(ip, port).String()
	if ip.IsUnspecified() {
		l.skipped[e.Addr] = fmt.Errorf("%s stands for every address of the program's own host", ip)
		return
	}
	if _, ok := l.endpoints[e.Addr]; !ok {
		l.endpoints[e.Addr] = e
	}
}
