// Package leak finds goroutines that outlive what started them. It is for suites
// and tests.
package leak

import (
	"fmt"
	"runtime"
	"strings"
)

// Goroutines returns the stacks of all goroutines by their number, without the
// caller's, those of package testing, and the one by which a process that fuzzes
// hears signals.
func Goroutines() map[string]string {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	stacks := strings.Split(string(buf), "\n\n")
	all := make(map[string]string, len(stacks))
	for _, stack := range stacks[1:] { // the first is this goroutine
		if strings.Contains(stack, "\ncreated by testing.") || strings.Contains(stack, "\ncreated by os/signal.") {
			continue
		}
		id, _, _ := strings.Cut(stack, " [")
		all[id] = stack
	}
	return all
}

// Left returns an error with one of the stacks if a goroutine runs that is not in
// before.
func Left(before map[string]string) error {
	left := Goroutines()
	for id := range before {
		delete(left, id)
	}
	for _, stack := range left {
		return fmt.Errorf("%d goroutines are left, one of them:\n%s", len(left), stack)
	}
	return nil
}
