package sock

import (
	"crypto/tls"
	"strings"
	"testing"
)

func TestACertificateIsVerifiedWithTheHostUnlessThereIsAName(t *testing.T) {
	for _, k := range []struct {
		conf       *tls.Config
		addr, want string
		fails      string
	}{
		{&tls.Config{}, "h.test:80", "h.test", ""},
		{&tls.Config{}, "[::1]:80", "::1", ""},
		{&tls.Config{ServerName: "own"}, "h.test:80", "own", ""},
		{&tls.Config{ServerName: "own"}, "unix:/s", "own", ""},
		{&tls.Config{InsecureSkipVerify: true}, "h.test:80", "", ""},
		{&tls.Config{InsecureSkipVerify: true}, "unix:/s", "", ""},
		{&tls.Config{}, "unix:/s", "", "a unix socket has no name"},
		{&tls.Config{}, "h.test", "", "missing port"},
	} {
		before := k.conf.ServerName
		got, err := Named(k.conf, k.addr)
		switch {
		case k.fails != "":
			if err == nil || !strings.Contains(err.Error(), k.fails) {
				t.Errorf("%s: %v", k.addr, err)
			}
		case err != nil || got.ServerName != k.want:
			t.Errorf("%s: %v, %v, want %q", k.addr, got, err, k.want)
		}
		if k.conf.ServerName != before {
			t.Errorf("%s: the caller's config was changed", k.addr)
		}
	}
}
