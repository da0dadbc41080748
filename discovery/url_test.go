package discovery_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

func TestURLIsParsedIntoItsParts(t *testing.T) {
	for _, c := range []struct {
		raw, scheme, user, password string
		hosts                       []string
		path, shown                 string
	}{
		{"zk://h1:2181,h2:2181/services/echo", "zk", "", "", []string{"h1:2181", "h2:2181"}, "/services/echo", "zk://h1:2181,h2:2181/services/echo"},
		{"etcd://[::1]:1,[::2]:1/p", "etcd", "", "", []string{"[::1]:1", "[::2]:1"}, "/p", "etcd://[::1]:1,[::2]:1/p"},
		{"etcd://[::1],h", "etcd", "", "", []string{"[::1]", "h"}, "", "etcd://[::1],h"},
		{"zk://[fe80::1%25eth0]:2181/", "zk", "", "", []string{"[fe80::1%eth0]:2181"}, "/", "zk://[fe80::1%25eth0]:2181/"},
		{"ZK://user:pass@h:1/p", "zk", "user", "pass", []string{"h:1"}, "/p", "zk://user:xxxxx@h:1/p"},
		{"zk://user@h", "zk", "user", "", []string{"h"}, "", "zk://xxxxx@h"},
		{"zk://:pass@h", "zk", "", "pass", []string{"h"}, "", "zk://:xxxxx@h"},
		{"zk://us%40er:p%3A%2F%3F%23%40@h", "zk", "us@er", "p:/?#@", []string{"h"}, "", "zk://us%40er:xxxxx@h"},
		{"zk://u:p@ss:w@h", "zk", "u", "p@ss:w", []string{"h"}, "", "zk://u:xxxxx@h"},
		{"file:///etc/servers.json", "file", "", "", nil, "/etc/servers.json", "file:///etc/servers.json"},
		{"dns+srv://", "dns+srv", "", "", nil, "", "dns+srv://"},
		{"static://unix:%2Frun%2Fa.sock,b:1", "static", "", "", []string{"unix:/run/a.sock", "b:1"}, "", "static://unix:%2Frun%2Fa.sock,b:1"},
		{"zk://bücher.example:1/a%20b/%E6%9D%B1", "zk", "", "", []string{"bücher.example:1"}, "/a b/東", "zk://b%C3%BCcher.example:1/a%20b/%E6%9D%B1"},
		{"zk://h/p?token=abc&a=1&a=2", "zk", "", "", []string{"h"}, "/p", "zk://h/p?a=...&token=..."},
	} {
		u, err := discovery.ParseURL(c.raw)
		if err != nil {
			t.Errorf("%s: %v", c.raw, err)
			continue
		}
		password, err := u.Password.Value()
		if err != nil {
			t.Errorf("%s: %v", c.raw, err)
		}
		got := []any{u.Scheme, u.User, password, u.Hosts, u.Path, u.String()}
		want := []any{c.scheme, c.user, c.password, c.hosts, c.path, c.shown}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s\n got %q\nwant %q", c.raw, got, want)
		}
	}
}

func TestErrorsOfURLsNameTheMistakeAndNoSecret(t *testing.T) {
	for raw, want := range map[string]string{
		"":                            "no scheme",
		"h1:2181/services":            "no scheme",
		"://h":                        "no scheme",
		"1zk://h":                     "no scheme",
		"zk:h1:2181":                  "no scheme",
		"zk://h1,,h2":                 "host 2 of 3: empty",
		"zk://h1:0":                   "host 1 of 1: the port",
		"zk://h1,h2:65536":            "host 2 of 2: the port",
		"zk://h1:":                    "the port",
		"zk://::1:2181":               "host 1 of 1: empty",
		"zk://fe80::1:2181":           "needs brackets",
		"zk://[::1":                   "not closed",
		"zk://[::1]2181":              "behind the brackets",
		"zk://[10.0.0.1]:1":           "not an IPv6 address",
		"zk://h%2Fx":                  "that no host name has",
		"zk://unix:run":               "path of the socket",
		"zk://h/a b":                  "a space",
		"zk://h/\x00":                 "control character",
		"zk://h/%zz":                  "two hexadecimal digits",
		"zk://h/%00":                  "not text",
		"zk://h/p#frag":               `"#"`,
		"zk://h?a=%z":                 `parameter "a": a %`,
		"zk://user:hunter2/x@h/p":     "%40",
		"zk://user:hunter2?x@h/p":     "%40",
		"zk://user:hunter2#x@h/p":     "%23",
		"zk://user:hunter2 @h/p":      "a space",
		"zk://user:hunter2%z@h/p":     "user or password",
		"zk://user:hunter2@h:x/p":     "host 1 of 1: the port",
		"zk://user:hunter2/h":         "the port",
		"user:hunter2@h":              "no scheme",
		"user:hunter2://h":            "no scheme",
		"zk://h/p?token=hunter2%z":    `parameter "token"`,
		"zk://h/p?token=hunter2@home": "%40",
	} {
		u, err := discovery.ParseURL(raw)
		if err == nil {
			t.Errorf("%q was parsed as %v", raw, u)
			continue
		}
		if !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "discovery: ") {
			t.Errorf("%q: error %q, want one with %q", raw, err, want)
		}
		if strings.Contains(err.Error(), "hunter") {
			t.Errorf("%q: the error %q shows the password", raw, err)
		}
	}
}

// FuzzURL reads any text: no panic, and what is shown of a URL is a URL of the
// same place, without the password.
func FuzzURL(f *testing.F) {
	for _, s := range []string{
		"zk://h1:2181,h2:2181/services/echo?session_timeout=5s", "etcd://[::1]:1,[::2]:1/p", "a://u:p%40@[fe80::1%25e]:1,unix:%2Fx/%20?a=b&a=c+d",
		"static://", "x:///p", "zk://@h", "zk://:@h", "zk://h?&&=", "zk://h/p?%41=%42", "A://0@",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := discovery.ParseURL(raw)
		if err != nil {
			return
		}
		again, err := discovery.ParseURL(u.String())
		if err != nil {
			t.Fatalf("%q is shown as %q: %v", raw, u, err)
		}
		user := u.User
		if user != "" && !u.Password.IsSet() {
			user = "xxxxx" // it may be a token
		}
		if again.Scheme != u.Scheme || again.User != user || again.Password.IsSet() != u.Password.IsSet() ||
			!slices.Equal(again.Hosts, u.Hosts) || again.Path != u.Path {
			t.Fatalf("%q is shown as %q", raw, u)
		}
		if again.String() != u.String() {
			t.Fatalf("%q is shown as %q and then as %q", raw, u, again)
		}
		if _, err := discovery.ServerAddrs(u.Hosts, 1); err != nil && len(u.Hosts) > 0 {
			t.Fatalf("the hosts of %q are %q: %v", u, u.Hosts, err)
		}
	})
}
