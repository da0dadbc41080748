package httppool

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain fails when the tests leave a goroutine. It serves instead, when it
// was begun as a server by one of them.
func TestMain(m *testing.M) {
	serveIfAsked()
	code := m.Run()
	if code == 0 && !alone() {
		code = 1
	}
	os.Exit(code)
}

// alone waits until there is no goroutine but this one, and tells of those that
// stay.
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
