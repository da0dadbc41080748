// Package dns discovers servers in the Domain Name System: the addresses of a name
// with a port, or the SRV records of a service.
//
//	watcher := dns.Watcher(nil, "echo.default.svc.cluster.local:9090")
//
// By URL, through a [discovery.Mux] that has [Opener]:
//
//	dns:///echo.default.svc.cluster.local:9090
//	dns:///_echo._tcp.example.com
//	dns://10.0.0.2,10.0.0.3:5353/echo.service.consul?min_ttl=5s
//
// A name with a port stands for its addresses (A and AAAA), each of which is a
// server. A name without a port is that of SRV records, whose targets are the
// servers. The targets' addresses are taken from the answer, or asked of the same
// server, which may be the only one that knows them. /etc/hosts does not count.
//
// # Servers and names
//
// Without servers, those of /etc/resolv.conf are asked, and its search domains and
// ndots complete the name, as in the system's resolver; the file is read for each
// look. A search domain whose servers fail or refuse is passed over, unless the name
// in it had the records until then. Servers that are listed are asked for the name as
// it is. The next server is asked when one does not answer, or answers that it has
// failed or refuses; the one that answered is asked first the next time.
//
// Questions go over TCP, because servers leave records out of answers over UDP, and
// some do so without a mark: of 300 instances, Consul names 3 or 19, others each
// time. Over TCP an answer has up to 64 KiB, about 4,000 addresses or 1,500 SRV
// records. A larger set is an error; divide it over names and join them by
// combine.Union. A SRV target may have many addresses.
//
// # When the set changes
//
// A look follows the one before after the smallest TTL of the records, from MinTTL
// to MaxTTL, plus up to a tenth. The order of records and the case of names do not
// matter. A failed look (no server answers, SERVFAIL, an answer that is cut) is
// tried again; the last set stays in use.
//
// A name that does not exist, or has no records of the type, is an empty set,
// because that is what a server answers for a service without instances. Watch
// warns of it, see [discovery.ReportWarning], so that it is in the errors of a pool
// that has no server.
//
// Records that cannot be servers are left out, as [OnSkipped] and a warning say:
// port 0, targets
// that do not exist, 0.0.0.0. If all are like that, the look has failed. A target
// whose servers fail keeps the addresses that it had.
//
// # Weights and priorities
//
// The weight is that of the SRV record, divided by the number of its target's
// addresses. Weight 0 beside others is 0.01, hardly ever; if all are 0, they are
// alike. Of several priorities, only the lowest counts that has an address. The target
// "." says that there is no such service here.
//
// DNS does not know which servers are up; the pool does. With [AllPriorities] and
// balance.Priority, calls go to the next priority while all servers of the one before
// are down:
//
//	core.New(dns.Watcher(nil, "_echo._tcp.example.com", dns.AllPriorities()), dialer,
//		core.WithBalancer(balance.Priority(balance.LeastLatency(balance.LeastLatencyConfig{}))))
//
// # Options and URL parameters
//
// A parameter has the name of its option, in lower case with underscores and
// without With. [Watcher] and URLs have the same ones.
//
//	option          parameter        default
//	Allow           allow            -
//	Deny            deny             -
//	OnSkipped       -                -
//	Timeout         timeout          5s
//	MinTTL          min_ttl          1s
//	MaxTTL          max_ttl          1m0s
//	WithFamily      family           any
//	WithTransport   transport        tcp
//	AllPriorities   all_priorities   false
//	-               where            -
//
// The parameter where filters the set: see [discovery.Mux.Open]. With
// all_priorities=true, where=priority:20 is the backup.
//
// Without Allow, the answers may name every host and port, the program's own host
// too: see [discovery.Admission].
//
// # Dependencies
//
// The module requires golang.org/x/net alone, and of that imports one package,
// dns/dnsmessage, which imports the standard library only.
//
// # URL parameters
//
//   - allow: address, prefix, name or socket, with or without ports, that the registry may
//     name; empty means every host and no socket (rule, may be repeated).
//   - deny: address, prefix, name or socket, with or without ports, that the registry may
//     not name (rule, may be repeated).
//   - timeout: how long a server may take to answer, connecting included (duration from
//     100ms to 1m0s; default 5s).
//   - min_ttl: the shortest time between two looks (duration from 100ms to 1h0m0s; default
//     1s).
//   - max_ttl: the longest time between two looks (duration from 100ms to 1h0m0s; default
//     1m0s).
//   - family: which addresses of a name count; any is IPv4, or IPv6 where there is no IPv4
//     (one of any, ipv4, ipv6, both; default any).
//   - transport: how questions are asked; udp is for servers that cannot be reached over
//     TCP (one of tcp, udp; default tcp).
//   - all_priorities: whether servers of every SRV priority count, with the attribute
//     priority (true or false; default false).
//   - where: attribute, zone or weight that a server must have; of several values for a
//     name, one; an empty value means that it is absent; registrars ignore it (name:value,
//     may be repeated).
package dns

//go:generate env UPDATE_DOC=1 go test -run TestOptionsAndParametersAreThoseOfTheTable .
