package discovery

import (
	"errors"
	"fmt"
	"maps"
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
// Unlike a URL of net/url, it lists several servers in its authority. Everything
// but the scheme may be absent. Any part may be percent-encoded. A character
// that would end the part must be: "@" outside of user and password, a comma in
// a host, "#" anywhere. The password may be a reference to a secret, see
// [Secret].
type URL struct {
	// Scheme is in lower case.
	Scheme string
	User   string
	// Password is not set if the URL has no password.
	Password Secret
	// Hosts are "host" or "host:port", an IPv6 address in brackets, or
	// "unix:/path" (written "unix:%2Fpath").
	Hosts []string
	// Path is empty or begins with a slash. It is decoded.
	Path string

	// query has its values as secrets, for some of them are.
	query map[string][]Secret
}

// ParseURL parses a URL. Its errors quote nothing that may be a secret.
func ParseURL(raw string) (*URL, error) {
	u, err := parseURL(raw)
	if err != nil {
		return nil, fmt.Errorf("discovery: registry URL: %w", err)
	}
	return u, nil
}

func parseURL(raw string) (*URL, error) {
	if !utf8.ValidString(raw) || strings.ContainsFunc(raw, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return nil, errors.New("a space, a control character or bytes that are not text: percent-encode them, %20 for a space")
	}
	if strings.Contains(raw, "#") {
		return nil, errors.New(`a "#": write %23`)
	}
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok || !validScheme(scheme) {
		return nil, errors.New("no scheme, such as zk://, at its beginning")
	}
	u := &URL{Scheme: strings.ToLower(scheme)}
	rest, query, _ := strings.Cut(rest, "?")
	authority, path := rest, ""
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	// If this were allowed, a password with a slash in it would be taken for a
	// port and a path, and be shown.
	if strings.Contains(path, "@") || strings.Contains(query, "@") {
		return nil, errors.New(`an "@" behind the hosts: write %40, and in a password %2F for a slash and %3F for a question mark`)
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
		return nil, fmt.Errorf("path: %w", err)
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
		return errors.New("user or password: a % is not followed by two hexadecimal digits")
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

// validHost returns why h cannot be a host, or nil. It does not quote h, which may
// be a password in the wrong place.
func validHost(h string) error {
	if path, ok := strings.CutPrefix(h, "unix:"); ok {
		if !strings.HasPrefix(path, "/") {
			return errors.New("the path of the socket does not begin with a slash")
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
			return errors.New("the text in brackets is not an IPv6 address")
		}
		if port, hasPort = strings.CutPrefix(port, ":"); !hasPort && port != "" {
			return errors.New("the text behind the brackets is not a port")
		}
	}
	switch {
	case host == "":
		return errors.New("empty")
	case strings.Contains(port, ":"):
		return errors.New("several colons: an IPv6 address needs brackets")
	case host[0] != '[' && strings.ContainsFunc(host, func(r rune) bool {
		return strings.ContainsRune("/[]@,?#%", r) || unicode.IsSpace(r) || !unicode.IsPrint(r)
	}):
		return errors.New("a character that no host name has")
	}
	if n, err := strconv.ParseUint(port, 10, 16); hasPort && (err != nil || n == 0) {
		return errors.New("the port is not a number from 1 to 65535")
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
			return nil, errors.New("name of a parameter: a % is not followed by two hexadecimal digits")
		}
		if value, err = unescape(strings.ReplaceAll(value, "+", " ")); err != nil {
			return nil, fmt.Errorf("value of parameter %q: %w", name, err)
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
		return "", errors.New("the decoded bytes are not text")
	}
	return s, nil
}

// String returns the URL without its password and the values of its
// parameters, which may be secrets. So may a user without a password, which is
// where a token is likely to be put by mistake.
func (u *URL) String() string {
	var b strings.Builder
	b.WriteString(u.Scheme + "://")
	switch {
	case u.Password.IsSet():
		b.WriteString(escape(u.User, "") + ":xxxxx@")
	case u.User != "":
		b.WriteString("xxxxx@")
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
