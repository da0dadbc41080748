package zk_test

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	client "github.com/go-zookeeper/zk"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/plugintest"
	"github.com/minicaptain/multi_connection_pool/discovery/zk"
)

func mux() *discovery.Mux {
	m := &discovery.Mux{}
	m.Handle("zk", zk.Opener)
	return m
}

func validate(w any) error { return w.(interface{ Validate() error }).Validate() }

func TestMistakesInOptionsAreReportedAllAtOnceWithoutIO(t *testing.T) {
	secret := discovery.NewSecret("hunter2")
	for _, c := range []struct {
		servers []string
		path    string
		opts    []zk.Option
		want    []string // parts of the error; none if there is no mistake
	}{
		{servers: []string{"h"}, path: "/a"},
		{servers: []string{"h:1", "10.0.0.1", "[::1]", "[::1]:1", "zk-1.example.com:2181"}, path: "/a/b.c/d-e/"},
		{servers: []string{"h"}, path: "/", opts: []zk.Option{zk.WithChroot("/a")}},
		{servers: []string{"h"}, path: "/ü/東京"},
		{
			path: "a", opts: []zk.Option{zk.WithChroot("b"), zk.SessionTimeout(time.Millisecond), zk.WithFormat(format.Format{}), zk.WithACL("all")},
			want: []string{"no server", `path "a"`, `chroot "b"`, `session_timeout: "1ms"`, "cannot be", `acl: "all"`},
		},
		{
			servers: []string{"", "h:", "h:0", "h:65536", "::1", "h:1:2", "http://h", "a b", "unix:/s"}, path: "/a",
			want: []string{"server 1 of 9", "server 2 of", "server 3 of", "server 4 of", "server 5 of", "server 6 of", "server 7 of", "server 8 of", "server 9 of"},
		},
		{servers: []string{"h"}, path: "", want: []string{"path"}},
		{servers: []string{"h"}, path: "/", want: []string{"root"}},
		{servers: []string{"h"}, path: "//", want: []string{"empty part"}},
		{servers: []string{"h"}, path: "/a//b", want: []string{"empty part"}},
		{servers: []string{"h"}, path: "/a/../b", want: []string{"relative"}},
		{servers: []string{"h"}, path: "/a/.", want: []string{"relative"}},
		{servers: []string{"h"}, path: "/a\x01", want: []string{"character"}},
		{servers: []string{"h"}, path: "/a\ue000", want: []string{"character"}},
		{servers: []string{"h"}, path: "/a", opts: []zk.Option{zk.SessionTimeout(time.Hour)}, want: []string{"session_timeout"}},
		{servers: []string{"h"}, path: "/a", opts: []zk.Option{zk.WithACL(zk.ACLCreator)}, want: []string{"needs credentials"}},
		{servers: []string{"h"}, path: "/a", opts: []zk.Option{zk.WithACL(zk.ACLCreatorAllRead)}, want: []string{"needs credentials"}},
		{servers: []string{"h"}, path: "/a", opts: []zk.Option{zk.WithACL(zk.ACLCreator), zk.WithCredentials(discovery.UserPassword("u", secret)), zk.AllowPlaintextCredentials()}},
		{servers: []string{"h"}, path: "/a", opts: []zk.Option{zk.WithCredentials(discovery.UserPassword("", secret))}, want: []string{"without a user"}},
		{servers: []string{"h"}, path: "/a", opts: []zk.Option{zk.WithCredentials(discovery.UserPassword("u", discovery.Secret{}))}, want: []string{"no password"}},
		{servers: []string{"h"}, path: "/a", opts: []zk.Option{zk.WithCredentials(discovery.UserPassword("u:v", secret))}, want: []string{"colon"}},
		{servers: []string{"h"}, path: "/a", opts: []zk.Option{zk.WithTLS(discovery.TLS{Config: &tls.Config{MinVersion: tls.VersionTLS13}})}},
		{servers: []string{"h"}, path: "/a", opts: []zk.Option{zk.WithTLS(discovery.TLS{Cert: "cert.pem"})}, want: []string{"must be set together"}},
		{servers: []string{"http://u:hunter2@h"}, path: "/a", want: []string{"server 1 of 1"}},
	} {
		for _, w := range []any{zk.Watcher(c.servers, c.path, c.opts...), zk.Registrar(c.servers, c.path, c.opts...)} {
			err := validate(w)
			if (err == nil) != (len(c.want) == 0) {
				t.Errorf("%q %q: %v", c.servers, c.path, err)
				continue
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q %q: %v, without %q", c.servers, c.path, err, part)
				}
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows the password: %v", err)
			}
		}
	}
}

func TestMistakesEndWatchAndRegisterAtOnce(t *testing.T) {
	err := zk.Watcher(nil, "/a").Watch(t.Context(), func([]discovery.Endpoint) { t.Error("reported") })
	if err == nil || !strings.Contains(err.Error(), "no server") {
		t.Errorf("Watch: %v", err)
	}
	if err := zk.Registrar(nil, "/a").Register(t.Context(), self, func() {}); err == nil || !strings.Contains(err.Error(), "no server") {
		t.Errorf("Register: %v", err)
	}
	readOnly := format.Format{Name: "mine", Decode: format.PlainKey().Decode}
	if err := validate(zk.Registrar([]string{"h"}, "/a", zk.WithFormat(readOnly))); err == nil {
		t.Error("a registrar whose format cannot be written")
	}
	writeOnly := format.Format{Name: "mine", Encode: format.PlainKey().Encode}
	if err := validate(zk.Watcher([]string{"h"}, "/a", zk.WithFormat(writeOnly))); err == nil {
		t.Error("a watcher whose format cannot be read")
	}
	missing := zk.Watcher([]string{"127.0.0.1:1"}, "/a", zk.WithCredentials(discovery.UserPassword("u", discovery.NewSecret("file:/no/such/file"))))
	without := zk.Watcher([]string{"127.0.0.1:1"}, "/a", zk.WithTLS(discovery.TLS{CA: "/no/such/file"}))
	for _, w := range []discovery.Watcher{missing, without} {
		start := time.Now()
		if err := w.Watch(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "/no/such/file") || time.Since(start) > time.Second {
			t.Errorf("Watch: %v", err)
		}
	}
}

func TestURLsAreOpenedOrTheirMistakesReported(t *testing.T) {
	ca, cert, key := plugintest.Certificates(t)
	t.Setenv("ZK_PASSWORD", "secret")
	t.Setenv("ZK_AUTH", "user:secret")
	t.Setenv("ZK_HALF", "user")
	for _, c := range []struct {
		url  string
		want []string
	}{
		{url: "zk://10.0.0.1:2181,10.0.0.2/services/echo"},
		{url: "zk://[::1]:2181,[::2]/services/echo?format=serverset:http"},
		{url: "zk://u:env%3AZK_PASSWORD@h/a?acl=creator&session_timeout=5s&chroot=/tenant&tls=true&tls_ca=" + ca + "&tls_server_name=zk"},
		{url: "zk://localhost/a?credentials=env:ZK_AUTH&acl=creator-all-read"},
		{url: "zk://h/a?credentials=env:ZK_HALF", want: []string{"not user:password"}},
		{url: "zk://h/a?acl=creator&tls=true&tls_cert=" + cert + "&tls_key=" + key},
		{url: "zk:///a", want: []string{"no server"}},
		{url: "zk://h", want: []string{"path"}},
		{url: "zk://h/", want: []string{"root"}},
		{url: "zk://u@h/a", want: []string{"no password"}},
		{url: "zk://u:hunter2@h/a?credentials=hunter2", want: []string{"twice"}},
		{url: "zk://h/a?acl=creator", want: []string{"needs credentials"}},
		{url: "zk://h/a?acl=all", want: []string{"acl", "open"}},
		{url: "zk://h/a?tls_ca=x", want: []string{"tls=true"}},
		{url: "zk://h/a?session_timeout=1ms&format=xml&timeout=3s", want: []string{"session_timeout", "from 1s to 10m0s", "xml", "kitex-zk", `"timeout" is not known`}},
		{url: "zk://unix:%2Frun%2Fzk/a", want: []string{"server 1 of 1"}},
	} {
		_, err := mux().Open(c.url)
		_, rerr := mux().OpenRegistrar(c.url)
		for _, err := range []error{err, rerr} {
			if (err == nil) != (len(c.want) == 0) {
				t.Errorf("%s: %v", c.url, err)
				continue
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%s: %v, without %q", c.url, err, part)
				}
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows the password: %v", err)
			}
		}
	}
}

func TestOptionsAndParametersAreThoseOfTheTable(t *testing.T) { plugintest.CheckOptions(t, zk.Opener) }

func TestCredentialsCrossANetworkInPlainTextOnlyIfAllowed(t *testing.T) {
	plugintest.CheckPlaintext(t, zk.Opener)
}

func TestSecretOrCertificateThatIsNotThereIsAnErrorAtOnce(t *testing.T) {
	plugintest.CheckMissingFiles(t, zk.Opener)
}

// What each parameter does is seen at a real ensemble.
func TestParametersOfURLsAreUsed(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	root := newRoot(t, conn)
	proxy, addrs := proxies(t, list[0])
	hosts := strings.Join(addrs, ",")
	t.Setenv("ZK_AUTH", "alice:secret")
	t.Setenv("ZK_PASSWORD", "secret")
	if err := conn.AddAuth("digest", []byte("alice:secret")); err != nil {
		t.Fatal(err)
	}
	common := "/echo?chroot=" + root + "&format=naming&session_timeout=3s"
	r, err := mux().OpenRegistrar("zk://" + hosts + common + "&credentials=env:ZK_AUTH&acl=creator")
	if err != nil {
		t.Fatal(err)
	}
	heavy := discovery.Endpoint{Addr: self.Addr, Weight: 4}
	register(t, r, heavy)
	w, err := mux().Open("zk://alice:env%3AZK_PASSWORD@" + hosts + common)
	if err != nil {
		t.Fatal(err)
	}
	begin(t, w).until("it", func(eps []discovery.Endpoint) bool { return len(eps) == 1 && eps[0].Equal(heavy) })
	if proxy[0].Traffic().Connections != 1 {
		t.Error("the same user by another reference has another session")
	}
	line, _, _ := strings.Cut(tell(t, list[0], "cons"), "to=3000")
	if line == "" {
		t.Error("no session has the timeout")
	}
	w, err = mux().Open("zk://" + hosts + common)
	if err != nil {
		t.Fatal(err)
	}
	if err := begin(t, w).fails(); !errors.Is(err, client.ErrNoAuth) {
		t.Errorf("without the password: %v", err)
	}
}
