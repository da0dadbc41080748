package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
)

// servers writes a file of servers, and returns its path.
func servers(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "servers")
	write(t, path, text)
	return path
}

// write replaces a file in one step.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".next", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".next", path); err != nil {
		t.Fatal(err)
	}
}

func TestExitCodeOfLsSaysWhetherThereAreServers(t *testing.T) {
	for name, c := range map[string]struct {
		url    string
		code   int
		stderr string
	}{
		"servers":        {"static://127.0.0.1:9090", 0, ""},
		"none":           {"file://" + servers(t, "# nobody\n"), 3, "no server"},
		"wrong URL":      {"zk://127.0.0.1/x?formt=curator", 2, `"formt" is not known`},
		"unknown scheme": {"nacos://127.0.0.1/x", 2, "known are consul, dns, etcd, file, k8s, static, xds, zk"},
		"broken file":    {"file://" + servers(t, "127.0.0.1:9090 heavy\n"), 1, "multipool doctor URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t, "ls", "--timeout", "2s", c.url)
			if r.code != c.code {
				t.Errorf("exit code %d, want %d", r.code, c.code)
			}
			contains(t, r.stderr, c.stderr)
			if c.code == 0 && r.stdout != "ADDRESS         WEIGHT  ZONE  ATTRIBUTES\n127.0.0.1:9090  1       -     -\n" {
				t.Errorf("stdout %q", r.stdout)
			}
		})
	}
}

func TestJSONOfLsIsARegistryItself(t *testing.T) {
	first := run(t, "ls", "-o", "json", "file://"+servers(t, `[{"addr":"a:1","weight":2,"zone":"eu","attrs":{"v":"<1>"}},{"addr":"b:1"}]`))
	second := run(t, "ls", "-o", "json", "file://"+servers(t, first.stdout))
	if first.code != 0 || second.code != 0 || first.stdout != second.stdout {
		t.Errorf("%v\n%v", first, second)
	}
	contains(t, first.stdout, `"v": "<1>"`)
}

func TestContentOfARegistryDoesNotSteerTheTerminal(t *testing.T) {
	r := run(t, "ls", "file://"+servers(t, `[{"addr":"a:1","attrs":{"note":"\u001b[2Jgone"}}]`))
	contains(t, r.stdout, `note="\x1b[2Jgone"`)
}

func TestWatchPrintsALinePerChange(t *testing.T) {
	path := servers(t, "127.0.0.1:1\n")
	p := begin(t, nil, "watch", "-o", "json", "file://"+path+"?interval=100ms")
	p.await(1, `"added"`)
	write(t, path, "127.0.0.1:1 2\n127.0.0.1:2\n")
	p.await(2, `"added"`)
	p.await(1, `"updated"`)
	write(t, path, "127.0.0.1:1 2\n")
	p.await(1, `"removed"`)
	p.signal(syscall.SIGINT)
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for line := range strings.Lines(p.printed()) {
		var c struct {
			Event  string
			Server struct{ Addr string }
		}
		if err := json.Unmarshal([]byte(line), &c); err != nil || c.Event == "" || c.Server.Addr == "" {
			t.Errorf("%v: %s", err, line)
		}
		if strings.Contains(line, "\x1b") {
			t.Errorf("an escape sequence: %q", line)
		}
	}
}

func TestWatchDrawsATableInATerminalAndLeavesItAsItWas(t *testing.T) {
	path := servers(t, "127.0.0.1:1\n127.0.0.1:2\n")
	screen, terminal, err := pty.Open()
	if err != nil {
		t.Skipf("no terminal: %v", err)
	}
	if err := pty.Setsize(screen, &pty.Winsize{Rows: 12, Cols: 60}); err != nil {
		t.Fatal(err)
	}
	s := attach(t, screen, terminal, []string{"TERM=xterm"}, "watch", "file://"+path+"?interval=100ms")
	s.await(1, "+ 127.0.0.1:1")
	s.await(1, "2 servers")
	write(t, path, "127.0.0.1:2\n127.0.0.1:3\n")
	s.await(1, "- 127.0.0.1:1")
	s.await(1, "+ 127.0.0.1:3")
	s.signal(syscall.SIGINT)
	if code := s.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.await(1, "\x1b[?25h\x1b[?1049l") // the cursor and the screen before
}
