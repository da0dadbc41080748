package discovery_test

import (
	"strings"
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

func TestRulesDecideWhatARegistryMayName(t *testing.T) {
	for _, c := range []struct {
		allow, deny string // separated by spaces
		admitted    string
		refused     string
	}{
		{"", "", "10.0.0.1:80 h:1 [::1]:80", "unix:/run/a unix:@a"},
		{"10.0.0.0/8", "", "10.0.0.1:80 10.255.0.1:1 [::ffff:10.0.0.1]:80", "11.0.0.1:80 h:1 10:1 [fd00::1]:80 unix:/run/a"},
		{"10.0.0.7", "", "10.0.0.7:80", "10.0.0.70:80 10.0.0.7.example:80"},
		{"fd00::/8", "", "[fd00::1]:80 [fd12::1%eth0]:80", "[fe80::1]:80 10.0.0.1:80"},
		{"[fd00::/8]:80 10.0.0.0/8:9000-9999", "", "[fd00::1]:80 10.0.0.1:9000 10.0.0.1:9999", "[fd00::1]:81 10.0.0.1:8999 10.0.0.1:10000"},
		{"*:443", "", "h:443 10.0.0.1:443 [::1]:443", "h:80 unix:/run/a"},
		{"*.Example", "", "a.example:1 a.b.EXAMPLE:1 a.example.:1", "example:1 aexample:1 a.example.org:1"},
		{"db.example.", "", "db.example:1 DB.example:1", "a.db.example:1"},
		{"", "127.0.0.0/8 ::1 169.254.0.0/16 *:22", "10.0.0.1:80 localhost:80", "127.0.0.1:80 [::1]:80 [::ffff:127.0.0.1]:80 169.254.169.254:80 h:22"},
		{"::ffff:10.0.0.0/104", "::ffff:10.0.0.0/120", "10.1.0.1:80 [::ffff:10.1.0.1]:80", "10.0.0.1:80 [::ffff:10.0.0.1]:80 11.0.0.1:80"},
		{"10.0.0.0/8", "10.0.0.1", "10.0.0.2:80", "10.0.0.1:80"},
		{"unix:", "", "unix:/run/a unix:@a", "h:1"},
		{"unix: *", "", "unix:/run/a h:1 10.0.0.1:1", ""},
		{"unix:/run/echo/", "", "unix:/run/echo/a unix:/run/echo/b/c", "unix:/run/echo unix:/run/echo/../b unix:/run/echox/a unix:@/run/echo/a"},
		{"unix:/run/a", "", "unix:/run/a unix:/run//a", "unix:/run/ab unix:/run/a/b"},
		{"unix:@a", "", "unix:@a", "unix:@ab unix:/a"},
	} {
		var a discovery.Admission
		a.Allow(strings.Fields(c.allow)...)
		a.Deny(strings.Fields(c.deny)...)
		if err := a.Validate(); err != nil {
			t.Errorf("allow %q, deny %q: %v", c.allow, c.deny, err)
		}
		for addr := range strings.FieldsSeq(c.admitted) {
			if err := a.Check(discovery.Endpoint{Addr: addr}); err != nil {
				t.Errorf("allow %q, deny %q: %v", c.allow, c.deny, err)
			}
		}
		for addr := range strings.FieldsSeq(c.refused) {
			if err := a.Check(discovery.Endpoint{Addr: addr}); err == nil || !strings.Contains(err.Error(), addr) {
				t.Errorf("allow %q, deny %q: %s: error %v", c.allow, c.deny, addr, err)
			}
		}
	}
}

func TestRulesThatAreNoneAreErrors(t *testing.T) {
	for _, rule := range []string{
		"", " ", ":", ":80", "10.0.0.0/33", "10.0.0.1/8", "a/b", "*.", "a*b", "h:", "h:0", "h:65536", "h:9-8", "h:a", "h:1-", "[::1", "[::1]x", "::1]:80",
		"unix:run/a", "unix:/run/../a", "fe80::1%eth0", "a b", "a\nb",
	} {
		var a discovery.Admission
		a.Allow("10.0.0.0/8", rule)
		if err := a.Validate(); err == nil || !strings.Contains(err.Error(), "the rule ") {
			t.Errorf("%q: error %v", rule, err)
		}
	}
}

func TestSetKeepsToItsAdmission(t *testing.T) {
	decode := func(_ string, value []byte) ([]discovery.Endpoint, error) {
		return []discovery.Endpoint{{Addr: string(value)}}, nil
	}
	skipped := map[string]string{}
	s := discovery.NewSet(decode, func(key string, err error) { skipped[key] = err.Error() })
	var a discovery.Admission
	a.Deny("127.0.0.0/8")
	s.Admit(a)
	s.Put("1", []byte("10.0.0.1:80"))
	s.Put("2", []byte("127.0.0.1:80"))
	s.Put("3", []byte("unix:/run/a"))
	s.Report(func(eps []discovery.Endpoint) {
		if len(eps) != 1 || eps[0].Addr != "10.0.0.1:80" {
			t.Errorf("got %v", eps)
		}
	})
	if len(skipped) != 2 || !strings.Contains(skipped["2"], "denied") || !strings.Contains(skipped["3"], "Unix socket") {
		t.Errorf("skipped %q", skipped)
	}
}
