package discovery

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// URL names a place in a registry:
//
//	scheme://user:password@host1:port,[host2]:port/path?parameter=value
//
// It differs from the URLs of net/url in that the authority lists several
// servers. Everything but the scheme may be absent. Any part may be
// percent-encoded, and has to be where it would end the part: an "@" outside
// of user and password, a comma in a host, a "#" anywhere. The password may be
// a reference to a secret, see [Secret].
type URL struct {
	// Scheme is in lower case.
	Scheme string
	User   string
	// Password is not set if the URL has none.
	Password Secret
	// Hosts are "host", "host:port", both with an IPv6 address in brackets,
	// or "unix:/path" (which is written "unix:%2Fpath").
	Hosts []string
	// Path is empty or begins with a slash. It is decoded.
	Path string

	// query keeps its values as secrets, since some of them are.
	query map[string][]Secret
}

// ParseURL reads a URL. Its errors do not quote what may be a secret.
func ParseURL(raw string) (*URL, error) {
	u, err := parseURL(raw)
	if err != nil {
		return nil, fmt.Errorf("discovery: registry URL: %w", err)
	}
	return u, nil
}

func parseURL(raw string) (*URL, error) {
	if !utf8.ValidString(raw) || strings.ContainsFunc(raw, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return nil, errors.New("it has a space, a control character or bytes that are no text; write them %20 and so on")
	}
	if strings.Contains(raw, "#") {
		return nil, errors.New(`it has a "#"; write it %23`)
	}
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok || !validScheme(scheme) {
		return nil, errors.New("it does not begin with a scheme, such as zk://")
	}
	u := &URL{Scheme: strings.ToLower(scheme)}
	rest, query, _ := strings.Cut(rest, "?")
	authority, path := rest, ""
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	// Were this allowed, a password with a slash in it would be taken for a
	// port and a path, and be shown.
	if strings.Contains(path, "@") || strings.Contains(query, "@") {
		return nil, errors.New(`it has an "@" behind the hosts; write it %40, and in a password / as %2F and ? as %3F`)
	}
	var err error
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		if err := u.parseUser(authority[:i]); err != nil {
			return nil, err
		}
		authority = authority[i+1:]
	}
	if u.Hosts, err = parseHosts(authority); err != nil {
		return nil, err
	}
	if u.Path, err = unescape(path); err != nil {
		return nil, fmt.Errorf("its path: %w", err)
	}
	if u.query, err = parseQuery(query); err != nil {
		return nil, err
	}
	return u, nil
}

func validScheme(s string) bool {
	for i, r := range []byte(strings.ToLower(s)) {
		letter := 'a' <= r && r <= 'z'
		other := '0' <= r && r <= '9' || r == '+' || r == '-' || r == '.'
		if !letter && (i == 0 || !other) {
			return false
		}
	}
	return s != ""
}

func (u *URL) parseUser(s string) error {
	user, password, has := strings.Cut(s, ":")
	var err1, err2 error
	u.User, err1 = unescape(user)
	password, err2 = unescape(password)
	if err := errors.Join(err1, err2); err != nil {
		return errors.New("its user or password: a % is not followed by two hexadecimal digits")
	}
	if has {
		u.Password = NewSecret(password)
	}
	return nil
}

func parseHosts(s string) ([]string, error) {
	if s == "" {
		return nil, nil
	}
	parts := strings.Split(s, ",")
	for i, part := range parts {
		host, err := unescape(part)
		if err == nil {
			err = validHost(host)
		}
		if err != nil {
			return nil, fmt.Errorf("host %d of %d: %w", i+1, len(parts), err)
		}
		parts[i] = host
	}
	return parts, nil
}

// validHost does not quote the host: it may be a password in the wrong place.
func validHost(h string) error {
	if path, ok := strings.CutPrefix(h, "unix:"); ok {
		if !strings.HasPrefix(path, "/") {
			return errors.New("the path of a socket does not begin with a slash")
		}
		return nil
	}
	host, port, hasPort := strings.Cut(h, ":")
	if strings.HasPrefix(h, "[") {
		end := strings.IndexByte(h, ']')
		if end < 0 {
			return errors.New("a bracket is not closed")
		}
		host, port = h[:end+1], h[end+1:]
		if addr, err := netip.ParseAddr(host[1:end]); err != nil || !addr.Is6() {
			return errors.New("what stands in brackets is not an IPv6 address")
		}
		if port, hasPort = strings.CutPrefix(port, ":"); !hasPort && port != "" {
			return errors.New("something other than a port follows the brackets")
		}
	}
	switch {
	case host == "":
		return errors.New("it is empty")
	case strings.Contains(port, ":"):
		return errors.New("it has several colons; an IPv6 address needs brackets")
	case host[0] != '[' && strings.ContainsFunc(host, func(r rune) bool {
		return strings.ContainsRune("/[]@,?#%", r) || unicode.IsSpace(r) || !unicode.IsPrint(r)
	}):
		return errors.New("it has a character that no host name has")
	}
	if n, err := strconv.ParseUint(port, 10, 16); hasPort && (err != nil || n == 0) {
		return errors.New("its port is not a number from 1 to 65535")
	}
	return nil
}

func parseQuery(s string) (map[string][]Secret, error) {
	query := make(map[string][]Secret)
	for pair := range strings.SplitSeq(s, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := unescape(strings.ReplaceAll(name, "+", " "))
		if err != nil {
			return nil, errors.New("the name of a parameter: a % is not followed by two hexadecimal digits")
		}
		if value, err = unescape(strings.ReplaceAll(value, "+", " ")); err != nil {
			return nil, fmt.Errorf("the value of parameter %q: %w", name, err)
		}
		query[name] = append(query[name], NewSecret(value))
	}
	return query, nil
}

func unescape(s string) (string, error) {
	s, err := url.PathUnescape(s)
	if err != nil {
		// The original error quotes what follows.
		return "", errors.New("a % is not followed by two hexadecimal digits")
	}
	if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		return "", errors.New("it is not text once it is decoded")
	}
	return s, nil
}

// Addrs returns the hosts with a port added where there is none.
func (u *URL) Addrs(port int) []string {
	addrs := slices.Clone(u.Hosts)
	for i, h := range addrs {
		hasPort := strings.Contains(h, ":")
		if strings.HasPrefix(h, "[") {
			hasPort = !strings.HasSuffix(h, "]")
		}
		if !hasPort {
			addrs[i] = h + ":" + strconv.Itoa(port)
		}
	}
	return addrs
}

// String returns the URL without its password and the values of its
// parameters, which may be secrets.
func (u *URL) String() string {
	var b strings.Builder
	b.WriteString(u.Scheme + "://")
	if u.User != "" || u.Password.IsSet() {
		b.WriteString(escape(u.User, ""))
		if u.Password.IsSet() {
			b.WriteString(":xxxxx")
		}
		b.WriteByte('@')
	}
	for i, h := range u.Hosts {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(escape(h, ":[]"))
	}
	b.WriteString(escape(u.Path, "/:,="))
	for i, name := range slices.Sorted(maps.Keys(u.query)) {
		if i == 0 {
			b.WriteByte('?')
		} else {
			b.WriteByte('&')
		}
		b.WriteString(escape(name, "") + "=...")
	}
	return b.String()
}

// ValidServer reports why server cannot be that of a registry, which is
// "host:port" or "unix:/path", or nil. It does not quote it: it may be a URL
// with a password.
func ValidServer(server string) error {
	if path, ok := strings.CutPrefix(server, "unix:"); ok && strings.HasPrefix(path, "/") {
		return nil
	}
	if strings.Contains(server, "://") {
		return errors.New(`it is a URL, not "host:port"; TLS is an option`)
	}
	if host, port, err := net.SplitHostPort(server); err != nil || host == "" || port == "" {
		return errors.New(`it is not "host:port"`)
	}
	return nil
}

// escape percent-encodes all but letters, digits, "-._~" and what is in keep.
func escape(s, keep string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			strings.IndexByte("-._~", c) >= 0, strings.IndexByte(keep, c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
