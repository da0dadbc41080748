package sock

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
)

// Named returns conf, or a copy, with the host of addr as the name to verify the
// certificate with, if conf has none and asks for one. It returns an error if that
// name, or the one in conf, matches none of names; without names, any will do. A nil
// conf stays nil.
func Named(conf *tls.Config, names []string, addr string) (*tls.Config, error) {
	if conf == nil || conf.InsecureSkipVerify {
		return conf, nil
	}
	if conf.ServerName == "" {
		host, _, err := net.SplitHostPort(addr)
		if strings.HasPrefix(addr, "unix:") {
			err = errors.New("a unix socket has no name")
		}
		if err != nil {
			return nil, fmt.Errorf("no ServerName to verify the certificate with: %w", err)
		}
		conf = conf.Clone()
		conf.ServerName = host
	}
	if len(names) > 0 && !slices.ContainsFunc(names, func(pattern string) bool { return matches(pattern, conf.ServerName) }) {
		return nil, fmt.Errorf("the name %q, by which the server would be verified, is none of TLSNames", conf.ServerName)
	}
	return conf, nil
}

// matches reports whether a name matches a pattern, as it does in certificates: "*"
// stands for one label.
func matches(pattern, name string) bool {
	if parent, ok := strings.CutPrefix(pattern, "*."); ok {
		var label string
		if label, name, ok = strings.Cut(name, "."); !ok || label == "" {
			return false
		}
		pattern = parent
	}
	return strings.EqualFold(strings.TrimSuffix(pattern, "."), strings.TrimSuffix(name, "."))
}

// ValidateNames returns the mistakes in the names that servers may have, given the
// configuration for TLS, which may be nil.
func ValidateNames(conf *tls.Config, names []string) error {
	if len(names) == 0 {
		return nil
	}
	if conf == nil {
		return errors.New("TLSNames without TLS")
	}
	if conf.InsecureSkipVerify {
		return errors.New("TLSNames with InsecureSkipVerify, which verifies no name")
	}
	for _, name := range names {
		if rest := strings.TrimPrefix(name, "*."); rest == "" || strings.ContainsAny(rest, "*/ ") {
			return fmt.Errorf(`TLSNames: %q is neither a name nor "*." and a name`, name)
		}
	}
	return nil
}
