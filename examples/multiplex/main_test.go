package main

import (
	"context"
	"strings"
	"testing"

	"github.com/minicaptain/multi_connection_pool/examples/internal/process"
)

func TestMain(m *testing.M) { process.Main(m, main) }

func TestExitStatusSaysHowTheCallsWent(t *testing.T) {
	for _, c := range []struct {
		args   []string
		status int
		out    string
	}{
		{[]string{"-servers", "2", "-callers", "5"}, 0, "50 calls"},
		{[]string{"-servers", "0"}, 2, ""},
		{[]string{"-callers", "-1"}, 2, ""},
		{[]string{"nonsense"}, 2, ""},
	} {
		if status, out, last := process.Self(t, nil, c.args...); status != c.status || !strings.HasPrefix(out, c.out) || (last == "") != (status == 0) {
			t.Errorf("%q: exit status %d, output %q, last line %q", c.args, status, out, last)
		}
	}
}

func TestCallsThatFailAreAnError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, 1, 3); err == nil || !strings.Contains(err.Error(), "caller") && !strings.Contains(err.Error(), "canceled") {
		t.Errorf("run returned %v", err)
	}
}
