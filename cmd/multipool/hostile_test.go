package main_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestErrorOfARegistryDoesNotSteerTheTerminal(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte("\x1b]0;owned\x07\x1b[2Jgone"))
	}))
	defer s.Close()
	r := run(t, "ls", "consul://"+s.Listener.Addr().String()+"/echo") // which fails the test at an escape
	if r.code != 1 {
		t.Errorf("exit code %d", r.code)
	}
	contains(t, r.stderr, "?[2Jgone", "\n(multipool doctor URL looks for the cause)\n")
}

func TestWarningOfLsDoesNotSteerTheTerminal(t *testing.T) {
	r := run(t, "ls", "static://127.0.0.1:1?where=zone:%1b[2Jgone")
	if r.code != 3 {
		t.Errorf("exit code %d", r.code)
	}
	contains(t, r.stderr, "warning: ", "where=zone:?[2Jgone")
}

func TestAttributeWithoutAValueIsAMistake(t *testing.T) {
	r := run(t, "register", "--attr", "version", "etcd://127.0.0.1/svc/", "127.0.0.1:1")
	if r.code != 2 {
		t.Errorf("exit code %d", r.code)
	}
	contains(t, r.stderr, `--attr "version" is not NAME=VALUE`)
	contains(t, run(t, "register", "--help").stdout, "--attr NAME=VALUE")
}
