package main

import (
	"net"
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
		"a server that is not there": {[]string{"-servers", "127.0.0.1:1", "PING"}, 1, "connection refused"},
		"an address that is none":    {[]string{"-servers", "redis-1", "PING"}, 1, "redis-1"},
		"no command":                 {nil, 2, "which command?"},
		"a flag that is none":        {[]string{"-nonsense", "PING"}, 2, ""},
	} {
		if code, out, last := process.Self(t, nil, c.args...); code != c.code || out != "" || !strings.Contains(last, c.last) {
			t.Errorf("%s: exit status %d, output %q, last line %q; want %d and %q", name, code, out, last, c.code, c.last)
		}
	}
}

func TestExitStatusOfARefusal(t *testing.T) {
	server := start(t)
	t.Setenv("REDIS_PASSWORD", password)
	if code, out, last := process.Self(t, nil, "-servers", server.Addr, "NONSENSE"); code != 1 || out != "" || !strings.Contains(last, "ERR") {
		t.Errorf("exit status %d, output %q, last line %q", code, out, last)
	}
	if code, out, _ := process.Self(t, nil, "-servers", server.Addr, "ECHO", "hello"); code != 0 || out != "hello\n" {
		t.Errorf("exit status %d, output %q", code, out)
	}
}

func TestInterruptEndsAWaitingCall(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // it accepts and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	dialed := make(chan struct{})
	go func() { // ends with the listener
		if nc, err := silent.Accept(); err == nil {
			defer nc.Close()
			close(dialed)
			_, _ = nc.Read(make([]byte, 100))
			_, _ = nc.Read(make([]byte, 100))
		}
	}()
	if code, _, last := process.Self(t, dialed, "-servers", silent.Addr().String(), "PING"); code != 1 || !strings.Contains(last, "canceled") {
		t.Errorf("exit status %d, last line %q", code, last)
	}
}
