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
		got, err := Named(k.conf, nil, k.addr)
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

func TestNamesAreThoseOfTheListOrOfItsPatterns(t *testing.T) {
	names := []string{"one.test", "*.svc.example.com", "10.0.0.1"}
	for addr, want := range map[string]bool{
		"one.test:1": true, "ONE.test:1": true, "one.test.:1": true, "x.one.test:1": false, "xone.test:1": false, "one.test.evil:1": false,
		"a.svc.example.com:1": true, "A.SVC.example.com:1": true, "svc.example.com:1": false, "a.b.svc.example.com:1": false,
		".svc.example.com:1": false, "asvc.example.com:1": false, "10.0.0.1:1": true, "10.0.0.2:1": false, "[::1]:1": false, "other:1": false,
	} {
		got, err := Named(&tls.Config{}, names, addr)
		if (err == nil) != want || err == nil && got.ServerName == "" || err != nil && !strings.Contains(err.Error(), "TLSNames") {
			t.Errorf("%s: %v, want accepted: %v", addr, err, want)
		}
	}
	if _, err := Named(&tls.Config{ServerName: "one.test"}, names, "evil:1"); err != nil {
		t.Errorf("with a name of the program: %v", err)
	}
	if _, err := Named(&tls.Config{ServerName: "evil"}, names, "one.test:1"); err == nil {
		t.Error("the program's own name must match too, and does not")
	}
}

func TestNamesThatAreNoneAreMistakes(t *testing.T) {
	conf := &tls.Config{}
	if err := ValidateNames(conf, []string{"a", "*.b.c", "10.0.0.1"}); err != nil {
		t.Error(err)
	}
	if err := ValidateNames(nil, nil); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"", "*", "*.", "a.*", "*.*.b", "http://a", "a b"} {
		if ValidateNames(conf, []string{name}) == nil {
			t.Errorf("%q passes", name)
		}
	}
	if ValidateNames(nil, []string{"a"}) == nil || ValidateNames(&tls.Config{InsecureSkipVerify: true}, []string{"a"}) == nil {
		t.Error("names that nothing is compared with pass")
	}
}
