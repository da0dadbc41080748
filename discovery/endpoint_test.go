package discovery_test

import (
	"math"
	"net"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

func TestEndpointThatCanBeDialedIsValid(t *testing.T) {
	for _, c := range []struct {
		addr   string
		weight float64
		want   string // in the error; empty if e is valid
	}{
		{addr: "10.0.0.1:80"},
		{addr: "host:1"},
		{addr: "host.example.com:65535"},
		{addr: "[::1]:9090"},
		{addr: "[fe80::1%eth0]:9090"},
		{addr: "bücher.example:80"},
		{addr: "unix:/run/echo.sock"},
		{addr: "unix:@abstract"},
		{addr: "h:1", weight: 0.1},
		{addr: "h:1", weight: 1e-300},
		{addr: "h:1", weight: math.MaxFloat64},
		{addr: "h:1", weight: math.Copysign(0, -1)},

		{addr: "", want: "address is not host:port"},
		{addr: "host", want: "address is not host:port"},
		{addr: "::1:80", want: "too many colons"},
		{addr: "http://host:80", want: "too many colons"},
		{addr: "[::1]", want: "missing port"},
		{addr: ":80", want: "address has no host"},
		{addr: "host:", want: `port "" is not a number from 1 to 65535`},
		{addr: "host:0", want: `port "0" is not`},
		{addr: "host:65536", want: `port "65536" is not`},
		{addr: "host:-1", want: `port "-1" is not`},
		{addr: "host:+1", want: `port "+1" is not`},
		{addr: "host:http", want: `port "http" is not`},
		{addr: "host: 80", want: `port " 80" is not`},
		{addr: "ho st:80", want: `host "ho st" has a character that no host name has`},
		{addr: "host\n:80", want: `host "host\n" has a character`},
		{addr: "ho\x00st:80", want: `host "ho\x00st" has a character`},
		{addr: "host\u00a0:80", want: "has a character"},
		{addr: "a/b:80", want: `host "a/b" has a character`},
		{addr: "tcp@10.0.0.1:8972", want: `host "tcp@10.0.0.1" has a character`},
		{addr: "user%40host:80", want: "has a character"},
		{addr: "a,b:80", want: "has a character"},
		{addr: "h?x=1:80", want: "has a character"},
		{addr: "${HOST}:80", want: "has a character"},
		{addr: "*:80", want: "has a character"},
		{addr: "[tcp@::1]:80", want: "is not an IPv6 address"},
		{addr: "[::1%eth\n0]:80", want: "is not an IPv6 address"},
		{addr: "[::1%a/b]:80", want: "is not an IPv6 address"},
		{addr: "unix:", want: "empty socket path"},
		{addr: "unix:/s\nlevel=INFO", want: "the socket path is not plain text"},
		{addr: "unix:/\u202es", want: "the socket path is not plain text"},
		{addr: "h\xff:80", want: "has a character"},
		{addr: "h:1", weight: -1, want: "weight -1 is not a finite number >= 0"},
		{addr: "h:1", weight: math.NaN(), want: "weight NaN is not"},
		{addr: "h:1", weight: math.Inf(1), want: "weight +Inf is not"},
		{addr: "h:1", weight: math.Inf(-1), want: "weight -Inf is not"},
	} {
		err := discovery.Endpoint{Addr: c.addr, Weight: c.weight}.Validate()
		if c.want == "" {
			if err != nil {
				t.Errorf("%q with weight %v: %v", c.addr, c.weight, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q with weight %v: error %v, want one that says %q", c.addr, c.weight, err, c.want)
		} else if prefix := "discovery: endpoint " + strconv.Quote(c.addr) + ": "; !strings.HasPrefix(err.Error(), prefix) {
			t.Errorf("error %q does not begin with %q", err, prefix)
		}
	}
}

// TestErrorsOfAnAddressAreOneLineOfText has what a registry may hold.
func TestErrorsOfAnAddressAreOneLineOfText(t *testing.T) {
	for _, addr := range []string{"\x1b[2J", "a\nlevel=INFO", "\xff\xfe", "[::1\n", "a:b\u202e:c", "::1\x00:80"} {
		err := discovery.Endpoint{Addr: addr}.Validate()
		if err == nil || strings.ContainsFunc(err.Error(), func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q: error %q", addr, err)
		}
	}
}

func TestValidateNamesEachMistake(t *testing.T) {
	err := discovery.Endpoint{Addr: "nowhere", Weight: -1}.Validate()
	if err == nil || !strings.Contains(err.Error(), "missing port") || !strings.Contains(err.Error(), "weight -1") {
		t.Errorf("error %v", err)
	}
}

func TestEndpointIsBounded(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	for _, c := range []struct {
		name string
		e    discovery.Endpoint
		want string
	}{
		{"an address", discovery.Endpoint{Addr: long(509) + ":80"}, ""},
		{"a longer one", discovery.Endpoint{Addr: long(510) + ":80"}, "address of 513 bytes"},
		{"a zone", discovery.Endpoint{Addr: "h:1", Zone: long(256)}, ""},
		{"a longer one", discovery.Endpoint{Addr: "h:1", Zone: long(257)}, "the zone has 257 bytes"},
		{"a zone of two lines", discovery.Endpoint{Addr: "h:1", Zone: "a\nb"}, `the zone "a\nb" is not plain text`},
		{"attributes", discovery.Endpoint{Addr: "h:1", Attrs: map[string]string{"k": long(131071)}}, ""},
		{"larger ones", discovery.Endpoint{Addr: "h:1", Attrs: map[string]string{"k": long(131072)}}, "the attributes have 131073 bytes"},
	} {
		err := c.e.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("%s: an error of %d bytes", c.name, len(err.Error()))
		}
	}
}

func FuzzValidEndpointHasAHostAndAPort(f *testing.F) {
	for _, s := range []string{"h:1", "[::1]:80", "unix:/s", "", ":", "[]:1", "a:b:c", "h:99999", "\x00:1", "h\t:1"} {
		f.Add(s, 1.0)
	}
	f.Add("h:1", math.NaN())
	f.Fuzz(func(t *testing.T, addr string, weight float64) {
		e := discovery.Endpoint{Addr: addr, Weight: weight}
		err := e.Validate()
		if err != nil {
			if len(addr) <= 512 && !strings.Contains(err.Error(), strconv.Quote(addr)) {
				t.Errorf("the error does not name the endpoint: %v", err)
			}
			return
		}
		if !(weight >= 0 && weight <= math.MaxFloat64) {
			t.Errorf("weight %v is valid", weight)
		}
		if path, ok := strings.CutPrefix(addr, "unix:"); ok {
			if path == "" {
				t.Errorf("%q is valid", addr)
			}
			return
		}
		host, port, err := net.SplitHostPort(addr)
		if err != nil || host == "" {
			t.Errorf("%q is valid: host %q, %v", addr, host, err)
		}
		if strings.ContainsFunc(host, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == '/' }) {
			t.Errorf("host %q is valid", host)
		}
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			t.Errorf("port %q is valid", port)
		}
		if same := e; !e.Equal(same) {
			t.Error("an endpoint is not equal to itself")
		}
	})
}

func TestEndpointsAreEqualWhenAllTheirFieldsAre(t *testing.T) {
	base := discovery.Endpoint{Addr: "a:1", Weight: 2, Zone: "z", Attrs: map[string]string{"k": "v"}}
	for _, c := range []struct {
		name string
		e    discovery.Endpoint
		want bool
	}{
		{"itself", base, true},
		{"a copy of the map", discovery.Endpoint{Addr: "a:1", Weight: 2, Zone: "z", Attrs: map[string]string{"k": "v"}}, true},
		{"another address", discovery.Endpoint{Addr: "b:1", Weight: 2, Zone: "z", Attrs: base.Attrs}, false},
		{"another weight", discovery.Endpoint{Addr: "a:1", Weight: 3, Zone: "z", Attrs: base.Attrs}, false},
		{"another zone", discovery.Endpoint{Addr: "a:1", Weight: 2, Zone: "y", Attrs: base.Attrs}, false},
		{"another value", discovery.Endpoint{Addr: "a:1", Weight: 2, Zone: "z", Attrs: map[string]string{"k": "w"}}, false},
		{"another key", discovery.Endpoint{Addr: "a:1", Weight: 2, Zone: "z", Attrs: map[string]string{"l": "v"}}, false},
		{"one more attribute", discovery.Endpoint{Addr: "a:1", Weight: 2, Zone: "z", Attrs: map[string]string{"k": "v", "l": ""}}, false},
		{"no attributes", discovery.Endpoint{Addr: "a:1", Weight: 2, Zone: "z"}, false},
	} {
		if base.Equal(c.e) != c.want || c.e.Equal(base) != c.want {
			t.Errorf("%s: equal is not %v", c.name, c.want)
		}
	}
	if !(discovery.Endpoint{Attrs: map[string]string{}}).Equal(discovery.Endpoint{}) {
		t.Error("no attributes and no map of attributes differ")
	}
}
