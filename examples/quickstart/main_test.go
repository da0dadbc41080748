package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// asProgram makes the test binary the program itself, so that its tests can
// run it and it can run its servers.
const asProgram = "QUICKSTART_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	if err := os.Setenv(asProgram, "1"); err != nil { // for the processes that tests start
		panic(err)
	}
	os.Exit(m.Run())
}

func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, os.Args[0], args...)
}

func TestNoCallIsLostWhenAServerIsKilledAndComesBack(t *testing.T) {
	cmd := program(t, "-duration", "6s", "-rate", "1000", "-concurrency", "8")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	out := string(stdout)
	t.Logf("output:\n%s%s", out, stderr.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range []string{
		`(\S+) killed\n`,
		`(\S+) seen down by the pool, .* after it was killed\n`,
		`(\S+) started again\n`,
		`(\S+) answered its first call, .* after it was started again\n`,
	} {
		if !regexp.MustCompile(event).MatchString(out) {
			t.Errorf("the timeline has no %s", event)
		}
	}

	calls := numbers(t, out, `(?m)^calls +(\d+) +(\d+) +(\d+)$`)
	for i, n := range calls {
		if n < 100 { // of 2000; how many there are depends on what else the machine does
			t.Errorf("%v calls in phase %d", n, i+1)
		}
	}
	for i, n := range numbers(t, out, `(?m)^lost +(\d+) +(\d+) +(\d+)$`) {
		if n != 0 {
			t.Errorf("%v calls lost in phase %d", n, i+1)
		}
	}
	if !strings.Contains(out, "; 0 lost") {
		t.Error("the last line does not say that nothing was lost")
	}

	killed := regexp.MustCompile(`(\S+) killed\n`).FindStringSubmatch(out)[1]
	share := numbers(t, out, `(?m)^share of `+regexp.QuoteMeta(killed)+` +([\d.]+) % +([\d.]+) % +([\d.]+) %$`)
	if share[0] == 0 || share[1] > 5 || share[2] == 0 {
		t.Errorf("the killed server has %v %% of the calls before, while it was dead, and after", share)
	}
}

// numbers returns the numbers in the groups of the one match of pattern.
func numbers(t *testing.T, s, pattern string) []float64 {
	t.Helper()
	match := regexp.MustCompile(pattern).FindStringSubmatch(s)
	if match == nil {
		t.Fatalf("nothing matches %s", pattern)
	}
	all := make([]float64, len(match)-1)
	for i, group := range match[1:] {
		n, err := strconv.ParseFloat(group, 64)
		if err != nil {
			t.Fatal(err)
		}
		all[i] = n
	}
	return all
}

func TestInterruptEndsTheRunWithItsSummary(t *testing.T) {
	cmd := program(t, "-duration", "1m", "-rate", "100")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	first, err := r.ReadString('\n') // it is under way
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("output:\n%s%s", first, rest)
	if err := cmd.Wait(); err != nil {
		t.Errorf("ended with %v", err)
	}
	if !strings.Contains(string(rest), "; 0 lost") {
		t.Error("there is no summary")
	}
}

func TestTwoRunsAtOnceDoNotMeet(t *testing.T) {
	var runs sync.WaitGroup
	for range 2 {
		cmd := program(t, "-duration", "3s", "-rate", "100")
		runs.Go(func() {
			if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "; 0 lost") {
				t.Errorf("ended with %v, output:\n%s", err, out)
			}
		})
	}
	runs.Wait()
}

func TestServersDieWithTheirParent(t *testing.T) {
	cmd := program(t, "-duration", "1m", "-rate", "10")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	first, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	addrs := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindAllString(first, -1)
	if len(addrs) != 3 {
		t.Fatalf("the first line names %d servers: %s", len(addrs), first)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for _, addr := range addrs {
		gone(t, addr)
	}
}

// gone waits until nobody accepts connections at addr.
func gone(t *testing.T, addr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", addr)
		if ctx.Err() != nil {
			t.Fatalf("%s still answers", addr)
		}
		if err != nil {
			return
		}
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		_, _ = conn.Read(make([]byte, 1)) // returns when the server is gone
		_ = conn.Close()
	}
}

func TestBadFlagsExitWith2(t *testing.T) {
	cmd := program(t, "-servers", "1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Errorf("ended with %v", err)
	}
	if !strings.Contains(stderr.String(), "-servers 1") {
		t.Errorf("said %q", stderr.String())
	}
}
