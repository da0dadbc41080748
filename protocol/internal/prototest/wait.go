package prototest

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/internal/leak"
)

// Patience is how long a test waits for what should happen at once.
const Patience = 10 * time.Second

// Until waits for ok to return true because of what another machine would do. It
// fails the test when that takes longer than [Patience].
func Until(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(Patience); !ok(); Pause(100 * time.Microsecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("not within %v: %s", Patience, what)
		}
	}
}

// Prompt is how late a call may end after its context.
const Prompt = 5 * time.Millisecond

// LeastDelay returns the shortest of what f returns, which is how late something
// happened: whatever else the machine does delays some and not all. It calls f nine
// times, and then until one delay is at most [Prompt]; on a machine that is busy, few
// are. It gives up after [Patience].
func LeastDelay(f func() time.Duration) time.Duration {
	begun, least := time.Now(), f()
	for n := 1; n < 9 || least > Prompt && time.Since(begun) < Patience; n++ {
		least = min(least, f())
	}
	return least
}

// Pause lets time pass. It waits for no event.
func Pause(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	<-ctx.Done()
}

// Run runs the tests of a package and returns the exit code. It is a failure if
// they leave a goroutine.
func Run(m *testing.M) (code int) {
	if code = m.Run(); code != 0 {
		return code
	}
	for deadline := time.Now().Add(Patience); ; Pause(time.Millisecond) {
		err := leak.Left(nil)
		if err == nil {
			return 0
		}
		if time.Now().After(deadline) {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
}
