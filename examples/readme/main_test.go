package main

import (
	"strings"
	"testing"

	"github.com/minicaptain/multi_connection_pool/examples/internal/process"
)

func TestMain(m *testing.M) { process.Main(m, main) }

// TestCallThatFailsIsTold runs the program without its servers.
func TestCallThatFailsIsTold(t *testing.T) {
	if status, out, last := process.Self(t, nil); status != 1 || out != "" || !strings.Contains(last, "connection refused") {
		t.Errorf("exit status %d, output %q, last line %q", status, out, last)
	}
}
