package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// place is where a registry is: its servers, one step below what its plugin does.
type place struct {
	url     *discovery.URL
	raw     string
	timeout time.Duration

	addrs []string // host:port of the URL's hosts
	alive []string // those that accept connections
}

// hasServers reports whether the registry is a service that is reached over connections to the
// hosts of the URL.
func (p *place) hasServers() bool { return p.port() != 0 && len(p.url.Hosts) > 0 }

// port is the port of hosts without one, as the plugins have it, 0 for other schemes.
func (p *place) port() int {
	switch p.url.Scheme {
	case "zk":
		return 2181
	case "etcd":
		return 2379
	case "consul":
		return 8500
	case "xds":
		return 18000
	case "dns":
		return 53
	default:
		return 0
	}
}

// resolve looks the names of the hosts up.
func (p *place) resolve(ctx context.Context, s *step) {
	addrs, err := discovery.ServerAddrs(p.url.Hosts, p.port())
	if err != nil { // Open has looked
		s.Verdict, s.Result = failed, err.Error()
		return
	}
	names := 0
	for _, addr := range addrs {
		host, _, err := net.SplitHostPort(addr)
		if err != nil || net.ParseIP(host) != nil { // a socket, or an address
			p.addrs = append(p.addrs, addr)
			continue
		}
		names++
		limit, cancel := context.WithTimeout(ctx, p.timeout)
		ips, err := net.DefaultResolver.LookupHost(limit, host)
		cancel()
		if err != nil {
			cause, _ := dialCause(err)
			s.Details = append(s.Details, host+": "+cause)
			continue
		}
		p.addrs = append(p.addrs, addr)
		s.Details = append(s.Details, host+" is "+strings.Join(ips, ", "))
	}
	s.Result = fmt.Sprintf("%d of %d hosts are known", len(p.addrs), len(addrs))
	switch {
	case names == 0:
		s.Verdict, s.Result = skipped, "the hosts are addresses"
	case len(p.addrs) == 0:
		s.Verdict = failed
		s.Advice = "No name resolves: check its spelling, and the resolver of this machine (/etc/resolv.conf). A container or pod has its own."
	case len(p.addrs) < len(addrs):
		s.Verdict = warning
		s.Advice = "The registry works without these hosts until the others fail: correct their names."
	}
}

// connect connects to each host.
func (p *place) connect(ctx context.Context, s *step) {
	if p.query().Get("transport") == "udp" { // of DNS
		s.Verdict, s.Result = skipped, "the URL asks over UDP, which has no connections"
		return
	}
	var advice string
	for _, addr := range p.addrs {
		limit, cancel := context.WithTimeout(ctx, p.timeout)
		begun := time.Now()
		err := dial(limit, addr)
		cancel()
		if err == nil {
			p.alive = append(p.alive, addr)
			s.Details = append(s.Details, fmt.Sprintf("%s accepts, after %s", addr, brief(time.Since(begun))))
			continue
		}
		var cause string
		cause, advice = dialCause(err)
		s.Details = append(s.Details, addr+": "+cause)
	}
	s.Result = fmt.Sprintf("%d of %d hosts accept connections", len(p.alive), len(p.addrs))
	switch {
	case len(p.alive) == 0:
		s.Verdict, s.Advice = failed, advice
	case len(p.alive) < len(p.addrs):
		s.Verdict, s.Advice = warning, "The registry works without these hosts until the others fail. "+advice
	}
}

// query are the parameters of the URL.
func (p *place) query() url.Values {
	_, query, _ := strings.Cut(p.raw, "?")
	q, _ := url.ParseQuery(query) // Open has parsed it
	return q
}

// settings are the parameters of the URL that doctor needs itself. None is a secret.
func (p *place) settings() discovery.TLS {
	q := p.query()
	return discovery.TLS{
		Enabled: q.Get("tls") == "true", CA: q.Get("tls_ca"), Cert: q.Get("tls_cert"), Key: q.Get("tls_key"), ServerName: q.Get("tls_server_name"),
	}
}

// handshake begins a TLS connection to each host.
func (p *place) handshake(ctx context.Context, s *step) {
	t := p.settings()
	if !t.Enabled {
		s.Verdict, s.Result = skipped, "the URL does not ask for it"
		return
	}
	good := 0
	for _, addr := range p.alive {
		config, err := t.Load()
		if err == nil {
			err = p.shake(ctx, addr, config)
		}
		if err != nil {
			var cause string
			cause, s.Advice = tlsCause(err)
			s.Details = append(s.Details, addr+": "+cause)
			continue
		}
		good++
	}
	s.Result = fmt.Sprintf("%d of %d hosts speak TLS, and are trusted", good, len(p.alive))
	switch {
	case good == 0:
		s.Verdict = failed
	case good < len(p.alive):
		s.Verdict = warning
	}
}

func (p *place) shake(ctx context.Context, addr string, config *tls.Config) error {
	limit, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	raw, err := connect(limit, addr)
	if err != nil {
		return err
	}
	defer raw.Close()
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(addr)
	}
	return tls.Client(raw, config).HandshakeContext(limit)
}

// speaksTLS reports whether a host answers as servers of TLS do, of whatever authority.
func (p *place) speaksTLS(ctx context.Context) bool {
	if p.settings().Enabled {
		return false
	}
	for _, addr := range p.alive {
		err := p.shake(ctx, addr, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // nothing is sent
		if err == nil || errors.As(err, new(tls.AlertError)) || strings.Contains(err.Error(), "remote error: tls:") {
			return true
		}
	}
	return false
}

// tlsCause returns why a handshake failed, and what to do.
func tlsCause(err error) (cause, advice string) {
	var (
		record    tls.RecordHeaderError
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	cause = oneLine(err.Error())
	switch {
	case errors.As(err, &record):
		return "it does not speak TLS", "Remove tls=true, or connect to the port at which the registry speaks TLS."
	case errors.As(err, &authority):
		return cause, "Name the file of the authority that has signed the certificate: tls_ca=FILE."
	case errors.As(err, &host):
		return cause, "Use a host that the certificate names, or say which it is: tls_server_name=NAME."
	case errors.As(err, &invalid):
		return cause, "The certificate is not valid: renew it, or set this machine's clock."
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "it does not answer as a TLS server does (" + cause + ")", "Probably it does not speak TLS: remove tls=true, or connect to the port at which the registry speaks TLS."
	case strings.Contains(cause, "remote error: tls:"):
		return cause, "The registry refuses the client's certificate: set tls_cert=FILE and tls_key=FILE."
	default:
		return cause, "Compare the parameters tls_... of the URL with those of another client that works."
	}
}

// dialCause returns why a connection could not be made, and what to do.
func dialCause(err error) (cause, advice string) {
	var name *net.DNSError
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return fmt.Sprintf("the name %s does not resolve", name.Name), "Names: check their spelling, and the resolver of this machine."
	case errors.As(err, &name):
		return "the name cannot be looked up: " + oneLine(name.Error()), "Names: the resolver of this machine does not answer; see /etc/resolv.conf."
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused", "Refused: nothing listens at that port. Is the program running, and is the port right?"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer to the attempt to connect", "No answer: the host is down, or a firewall drops packets."
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no route to it", "No route: this machine is in another network, or the host is down."
	default:
		return oneLine(err.Error()), "See the errors above."
	}
}
