package process

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// asProgram is the variable that makes a test binary run as the program that it tests.
const asProgram = "EXAMPLE_AS_PROGRAM"

// Main is TestMain of a program whose tests call [Self].
func Main(m *testing.M, program func()) {
	if os.Getenv(asProgram) != "" {
		program()
		return
	}
	os.Exit(m.Run())
}

// Command returns the program under test, to be run by the caller. It is killed at the
// end of the test.
func Command(tb testing.TB, args ...string) *exec.Cmd {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// Self runs the program under test. It returns the exit status, what the program wrote to
// standard output, and the last line of its standard error. The program is interrupted
// when interrupt, unless it is nil, can be received from.
func Self(tb testing.TB, interrupt <-chan struct{}, args ...string) (status int, out, last string) {
	tb.Helper()
	cmd := Command(tb, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { // ends with the program
		select {
		case <-interrupt:
			_ = cmd.Process.Signal(os.Interrupt)
		case <-ended:
		}
	}()
	err := cmd.Wait()
	close(ended)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		status = exit.ExitCode()
	} else if err != nil {
		tb.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
	return status, stdout.String(), lines[len(lines)-1]
}
