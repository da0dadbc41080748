//go:build go1.26

package httppool

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain fails if the tests leave a goroutine. In a process that a test has
// launched as a server, it serves.
func TestMain(m *testing.M) {
	serveIfAsked()
	code := m.Run()
	if code == 0 && !alone() {
		code = 1
	}
	os.Exit(code)
}

// alone waits until this goroutine is the only one. If others stay, it prints
// them and returns false.
func alone() bool {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(enough); ; <-tick.C {
		buf := make([]byte, 1<<20)
		stacks := string(buf[:runtime.Stack(buf, true)])
		if strings.Count(stacks, "\ngoroutine ") == 0 { // but the first, this one
			return true
		}
		if time.Now().After(deadline) {
			fmt.Println("goroutines are left:\n" + stacks)
			return false
		}
	}
}
