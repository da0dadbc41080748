package main

import (
	"strings"
	"testing"

	"github.com/minicaptain/multi_connection_pool/examples/internal/process"
)

func TestMain(m *testing.M) { process.Main(m, main) }

func TestExitStatusSaysHowTheCallWent(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		code int
		last string
	}{
		"a server that is not there": {[]string{"-servers", "127.0.0.1:1", "key"}, 1, "connection refused"},
		"an address that is none":    {[]string{"-servers", "cache-1", "key"}, 1, "cache-1"},
		"no key":                     {nil, 2, "which key"},
		"too many arguments":         {[]string{"a", "b", "c"}, 2, "which key"},
		"a key that cannot be one":   {[]string{"no spaces"}, 1, "cannot be a key"},
	} {
		if code, out, last := process.Self(t, nil, c.args...); code != c.code || out != "" || !strings.Contains(last, c.last) {
			t.Errorf("%s: exit status %d, output %q, last line %q; want %d and %q", name, code, out, last, c.code, c.last)
		}
	}
}

func TestExitStatusOfAMiss(t *testing.T) {
	server := start(t)
	if code, out, last := process.Self(t, nil, "-servers", server.Addr, "none"); code != 1 || out != "" || !strings.Contains(last, "no such key") {
		t.Errorf("exit status %d, output %q, last line %q", code, out, last)
	}
	if code, _, last := process.Self(t, nil, "-servers", server.Addr, "greeting", "hello"); code != 0 {
		t.Errorf("exit status %d, last line %q", code, last)
	}
	if code, out, _ := process.Self(t, nil, "-servers", server.Addr, "greeting"); code != 0 || out != "hello\n" {
		t.Errorf("exit status %d, output %q", code, out)
	}
}
