package discoverytest_test

import (
	"io"
	"os"
	"testing"
)

// runTest runs a test within an example. It prints what the test prints only if
// the test fails, because the output of an example is checked.
func runTest(name string, f func(t *testing.T)) (passed bool) {
	out, err := os.CreateTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.Remove(out.Name())
	defer out.Close()

	stdout := os.Stdout
	os.Stdout = out
	defer func() {
		os.Stdout = stdout
		if _, err := out.Seek(0, io.SeekStart); err == nil && !passed {
			_, _ = io.Copy(stdout, out)
		}
	}()
	all := func(_, _ string) (bool, error) { return true, nil }
	return testing.RunTests(all, []testing.InternalTest{{Name: name, F: f}})
}
