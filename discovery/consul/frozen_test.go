//go:build unix

package consul_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/consul"
)

// TestProgramThatWasFrozenSaysThatItsEntryWasGone stops a program for longer
// than its TTL. The program is this test again.
func TestProgramThatWasFrozenSaysThatItsEntryWasGone(t *testing.T) {
	const ttl = 2 * time.Second
	if place := os.Getenv("TEST_FROZEN"); place != "" {
		agent, service, _ := strings.Cut(place, "/")
		g, err := discovery.Register(consul.Registrar([]string{agent}, service, consul.TTL(ttl)), discovery.Endpoint{Addr: addr},
			discovery.OnChange(func(s discovery.State, _ error) { fmt.Println("state", s) }))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = bufio.NewReader(os.Stdin).ReadByte() // until the other one ends
		_ = g.Close(context.Background())
		return
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "TEST_FROZEN="+agent(t)+"/"+newService())
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGCONT)
		_ = in.Close()
		_ = cmd.Wait()
	})
	said := make(chan string, 100)
	go func() { // ends with the program
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if state, ok := strings.CutPrefix(lines.Text(), "state "); ok {
				said <- state
			}
		}
	}()
	await := func(want string) {
		t.Helper()
		select {
		case got := <-said:
			if got != want {
				t.Fatalf("it said %q, want %q", got, want)
			}
		case <-time.After(timeout):
			t.Fatalf("it has not said %q", want)
		}
	}
	await("registered")
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(ttl + ttl/2) // the fault has a length
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	await("lost")
	await("registered")
}
