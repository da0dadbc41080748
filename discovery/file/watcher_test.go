package file_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/combine"
	"github.com/minicaptain/multi_connection_pool/discovery/file"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/plugintest"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

func mux() *discovery.Mux {
	var m discovery.Mux
	m.Handle("file", file.Opener)
	return &m
}

func TestOptionsAndParametersAreThoseOfTheTable(t *testing.T) {
	plugintest.CheckOptions(t, file.Opener)
}

func TestURLNamesAnAbsolutePath(t *testing.T) {
	for url, want := range map[string]string{
		"file:///etc/a%20b":         "",
		"file:///etc/a?interval=5s": "",
		"file://etc/a":              "three slashes",
		"file://":                   "no file is named",
		"file:///a?interval=1ms":    "interval",
		"file:///a?poll=1s":         "known are interval",
	} {
		w, err := mux().Open(url)
		if want == "" && (err != nil || !strings.HasPrefix(fmt.Sprint(w), "file /etc/a")) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, error %v, want %q", url, w, err, want)
		}
	}
	w := file.Watcher("", nil, file.Interval(time.Millisecond))
	for _, part := range []string{"no file is named", "option 1 is nil", "interval"} {
		if err := w.Watch(t.Context(), nil); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v, want one with %q", err, part)
		}
	}
}

// seen is what a watch has reported so far.
type seen struct {
	t    *testing.T
	stop func()

	mu       sync.Mutex
	sets     []string
	failures []string
}

func follow(t *testing.T, path string) *seen {
	t.Helper()
	s := &seen{t: t}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	s.stop = func() { cancel(); <-done }
	t.Cleanup(s.stop)
	go func() {
		defer close(done)
		discovery.Follow(ctx, file.Watcher(path, file.Interval(100*time.Millisecond)), discovery.Follower{
			Reported: func(set []discovery.Endpoint) { s.note(&s.sets, show(set)) },
			Retrying: func(err error) { s.note(&s.failures, err.Error()) },
			Lost:     func(err error, _ time.Duration) { s.note(&s.failures, "lost: "+err.Error()) },
		})
	}()
	return s
}

func show(set []discovery.Endpoint) string {
	texts := make([]string, len(set))
	for i, e := range set {
		texts[i] = e.Addr
		if e.Weight != 0 || e.Zone != "" {
			texts[i] += fmt.Sprintf("*%v/%s", e.Weight, e.Zone)
		}
	}
	return strings.Join(texts, " ")
}

func (s *seen) note(to *[]string, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*to = append(*to, text)
}

// wait waits until ok is true of all sets and failures so far.
func (s *seen) wait(what string, ok func() bool) {
	s.t.Helper()
	const timeout = 30 * time.Second
	for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		s.mu.Lock()
		yes := ok()
		sets, failures := s.sets, s.failures
		s.mu.Unlock()
		if yes {
			return
		}
		if time.Since(begun) > timeout {
			s.t.Fatalf("waited %v for %s: sets %.2000q, failures %.2000q", timeout, what, sets, failures)
		}
	}
}

// is waits until the last set is want.
func (s *seen) is(want string) {
	s.t.Helper()
	s.wait(fmt.Sprintf("%.100q", want), func() bool { return len(s.sets) > 0 && s.sets[len(s.sets)-1] == want })
}

// fails waits for another failure, with the text.
func (s *seen) fails(text string) {
	s.t.Helper()
	s.mu.Lock()
	n := len(s.failures)
	s.mu.Unlock()
	s.wait("a failure with "+text, func() bool {
		return slices.ContainsFunc(s.failures[n:], func(f string) bool { return strings.Contains(f, text) })
	})
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFileThatIsRenamedOrWrittenInPlaceIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "servers")
	write(t, path, "# west\n\n10.0.0.1:9090\n  10.0.0.2:9090\t2 west\r\n[::1]:9090 0.5\nunix:/run/echo.sock\n")
	s := follow(t, path)
	s.is("10.0.0.1:9090 10.0.0.2:9090*2/west [::1]:9090*0.5/ unix:/run/echo.sock")
	if err := replace(path, []byte("10.0.0.3:9090\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.is("10.0.0.3:9090")
	write(t, path, "10.0.0.4:9090\n") // as long as before
	s.is("10.0.0.4:9090")
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	write(t, path, "# none\n")
	s.is("")
	write(t, path, `[{"Addr":"10.0.0.5:9090","Weight":2,"Zone":"east","Attrs":{"a":"b"}}]`)
	s.is("10.0.0.5:9090*2/east")
}

func TestLinksOfAConfigMapAreFollowedWhenTheyAreSwapped(t *testing.T) {
	dir := t.TempDir()
	// The names are those that the kubelet makes.
	publish := func(version, content string) {
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, version, "servers"), content)
		if err := os.Symlink(version, filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "servers")
	publish("..2026_1", "10.0.0.1:9090\n")
	if err := os.Symlink("..data/servers", path); err != nil {
		t.Fatal(err)
	}
	s := follow(t, path)
	s.is("10.0.0.1:9090")
	publish("..2026_2", "10.0.0.2:9090\n")
	if err := os.RemoveAll(filepath.Join(dir, "..2026_1")); err != nil {
		t.Fatal(err)
	}
	s.is("10.0.0.2:9090")
}

// TestFileThatIsWrittenSlowlyNeverHasASmallerSet writes a file of 10,000 servers in
// place, in pieces that end anywhere.
func TestFileThatIsWrittenSlowlyNeverHasASmallerSet(t *testing.T) {
	path := filepath.Join(t.TempDir(), "servers")
	var content strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&content, "10.1.%d.%d:9090\n", i/200, i%200)
	}
	all := content.String()
	write(t, path, all)
	s := follow(t, path)
	want := strings.ReplaceAll(strings.TrimSpace(all), "\n", " ")
	s.is(want)
	for range 5 {
		f, err := os.Create(path) // empty now
		if err != nil {
			t.Fatal(err)
		}
		for rest := all; rest != ""; {
			n := min(len(rest), 20_001)
			if _, err := f.WriteString(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
			time.Sleep(10 * time.Millisecond) // shorter than the file must be left alone
		}
		_ = f.Close()
	}
	write(t, path, "10.0.0.1:9090\n")
	s.is("10.0.0.1:9090")
	s.stop()
	if slices.ContainsFunc(s.sets, func(set string) bool { return set != want && set != "10.0.0.1:9090" }) {
		t.Errorf("%d sets, one of which the file never had", len(s.sets))
	}
}

func TestSetStaysWhileTheContentIsBadOrTheFileIsGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "servers")
	write(t, path, "10.0.0.1:9090\n")
	s := follow(t, path)
	s.is("10.0.0.1:9090")
	for content, want := range map[string]string{
		"":                            "it is empty",
		"10.0.0.1:9090\n10.0.0.2\n":   "line 2: ",
		"10.0.0.1:9090\n10.0.0.2:909": "half written",
	} {
		if err := replace(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		s.fails(want)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s.fails("no such file")
	if len(s.sets) != 1 {
		t.Errorf("the sets are %q", s.sets)
	}
	write(t, path, "10.0.0.2:9090\n")
	s.is("10.0.0.2:9090")
}

func TestFileThatOthersMayHaveWrittenIsNotRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "servers")
	write(t, path, "10.0.0.1:9090\n")
	if err := os.Chmod(path, 0o602); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, want string }{{path, "may write it"}, {dir, "no regular file"}} {
		s := follow(t, c.path)
		s.fails("lost: file: " + c.path + ": the file is not trusted: ")
		s.fails(c.want)
		if s.stop(); len(s.sets) > 0 {
			t.Errorf("the sets are %q", s.sets)
		}
	}
}

func TestWhatRememberWritesIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "last.json")
	list := static.NewList(discovery.Endpoint{Addr: "10.0.0.1:9090", Weight: 2, Zone: "west", Attrs: map[string]string{"a": "b"}}, discovery.Endpoint{Addr: "10.0.0.2:9090"})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = combine.Remember(list, path, 0, func(err error) {
			if !os.IsNotExist(err) {
				t.Error(err)
			}
		}).Watch(ctx, func([]discovery.Endpoint) {})
	}()
	defer func() { cancel(); <-done }()
	s := follow(t, path)
	s.is("10.0.0.1:9090*2/west 10.0.0.2:9090")
	if err := list.Set(discovery.Endpoint{Addr: "10.0.0.3:9090"}); err != nil {
		t.Fatal(err)
	}
	s.is("10.0.0.3:9090")
}

func TestFileThatStaysIsReportedOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "servers")
	write(t, path, "10.0.0.1:9090\n")
	s := follow(t, path)
	s.is("10.0.0.1:9090")
	for range 5 {
		now := time.Now()
		if err := os.Chtimes(path, now, now); err != nil { // touched
			t.Fatal(err)
		}
		time.Sleep(250 * time.Millisecond)
	}
	if s.stop(); len(s.sets) != 1 || len(s.failures) > 0 {
		t.Errorf("the sets are %q, failures %q", s.sets, s.failures)
	}
}

func ExampleOpener() {
	var m discovery.Mux
	m.Handle("file", file.Opener)
	w, err := m.Open("file:///etc/echo/servers?interval=5s")
	fmt.Println(w, err)
	// Output: file /etc/echo/servers <nil>
}
