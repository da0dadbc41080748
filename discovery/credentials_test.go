package discovery_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

func TestUserAndPasswordAreOneSecret(t *testing.T) {
	t.Setenv("TEST_PASSWORD", "pass:word")
	for _, s := range []discovery.Secret{
		discovery.UserPassword("alice", discovery.NewSecret("env:TEST_PASSWORD")),
		discovery.NewSecret("alice:pass:word"),
	} {
		user, password, err := s.SplitUserPassword()
		if user != "alice" || password != "pass:word" || err != nil {
			t.Errorf("got %q, %q, %v", user, password, err)
		}
		if err := s.Validate(); err != nil || !s.IsSet() {
			t.Errorf("Validate: %v, IsSet: %v", err, s.IsSet())
		}
	}
	if user, password, err := (discovery.Secret{}).SplitUserPassword(); user != "" || password != "" || err != nil {
		t.Errorf("the zero Secret has %q, %q, %v", user, password, err)
	}
	for _, s := range []discovery.Secret{discovery.NewSecret("hunter2"), discovery.NewSecret(":hunter2")} {
		if _, _, err := s.SplitUserPassword(); err == nil || strings.Contains(err.Error(), "hunter") {
			t.Errorf("error %v", err)
		}
	}
}

func TestIncompleteUserAndPasswordAreAnError(t *testing.T) {
	secret := discovery.NewSecret("hunter2")
	for want, s := range map[string]discovery.Secret{
		"without a user": discovery.UserPassword("", secret),
		"no password":    discovery.UserPassword("u", discovery.Secret{}),
		"colon":          discovery.UserPassword("u:v", secret),
	} {
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate returned %v, want %q", err, want)
		}
		if _, err := s.Value(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Value returned %v, want %q", err, want)
		}
	}
}

func TestUserAndPasswordAreNotPrinted(t *testing.T) {
	s := discovery.UserPassword("alice", discovery.NewSecret("hunter2"))
	asJSON, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if all := string(asJSON) + fmt.Sprintf("%v %+v %#v %q", s, struct{ s discovery.Secret }{s}, s, s); strings.Contains(all, "hunter") {
		t.Errorf("printed: %s", all)
	}
}

func TestCredentialsOfAURLAreInOnePlace(t *testing.T) {
	for url, want := range map[string]string{
		"t://h":                     "",
		"t://u:p@h":                 "u:p",
		"t://h?credentials=u:p":     "u:p",
		"t://u:p@h?credentials=u:p": "twice",
		"t://u@h":                   "no password",
		"t://:p@h":                  "without a user",
	} {
		b := &sharedBackend{}
		var mux discovery.Mux
		mux.Handle("t", b.open)
		_, err := mux.Open(url)
		value, err2 := b.credentials.Value()
		if value != want && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %q, %v, %v, want %q", url, value, err, err2, want)
		}
	}
}

// sharedBackend has the parameters that several registries have.
type sharedBackend struct {
	params       *discovery.Params
	credentials  discovery.Secret
	tls          discovery.TLS
	timeout, ttl time.Duration
	mode         string
	n            int
}

func (b *sharedBackend) open(p *discovery.Params) discovery.Backend {
	b.params = p
	p.Credentials(&b.credentials, "user:password")
	p.TLS(&b.tls)
	p.Timeout(&b.timeout)
	p.TTL(&b.ttl)
	p.Enum(&b.mode, "mode", "fast", []string{"fast", "safe"}, "how")
	p.Int(&b.n, "n", 3, 1, 10, "how many")
	return b
}

func (b *sharedBackend) Watcher(u *discovery.URL) (_ discovery.Watcher, err error) {
	if b.credentials, err = u.Credentials(b.credentials); err != nil {
		return nil, err
	}
	return nil, b.params.Validate()
}

func TestBoundsHoldForURLsAndOptions(t *testing.T) {
	b := &sharedBackend{}
	p := &discovery.Params{}
	b.open(p)
	if b.timeout != 5*time.Second || b.ttl != 10*time.Second {
		t.Errorf("the defaults are %v and %v", b.timeout, b.ttl)
	}
	if err := p.Validate(); err != nil {
		t.Errorf("the defaults are invalid: %v", err)
	}
	b.timeout, b.ttl, b.mode, b.n = time.Millisecond, 2500*time.Millisecond, "slow", 11
	b.tls.CA, b.credentials = "ca.pem", discovery.UserPassword("u", discovery.Secret{})
	err := p.Validate()
	for _, want := range []string{
		`timeout: "1ms" is not a duration from 100ms to 1m0s`,
		`ttl: "2.5s" is not a duration from 2s to 1h0m0s in whole seconds`,
		`mode: "slow" is not one of fast, safe`,
		`n: "11" is not a whole number from 1 to 10`,
		"tls=true", "no password",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	var mux discovery.Mux
	mux.Handle("t", b.open)
	for _, bad := range []string{"timeout=99ms", "timeout=61s", "ttl=1s", "ttl=2500ms", "ttl=61m", "ttl=x"} {
		if _, err := mux.Open("t://h?" + bad); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}
