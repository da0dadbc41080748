package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

func watchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "watch URL",
		Short: "Follow the servers of a registry",
		Long: `watch follows a registry until it is interrupted. In a terminal it shows a table, in which
the last change is marked: + came, ~ changed, - left. Elsewhere, or with -o json, it prints a
line for each change, beginning with the servers that are there at first.

The exit code is 0 after Ctrl-C or SIGTERM, and 2 if the URL is wrong. A registry that
fails is not the end: watch says so and goes on trying.`,
		Example: `  multipool watch consul://127.0.0.1:8500/echo
  multipool watch -o json zk://10.0.0.1/services/echo | jq 'select(.event=="removed")'`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeURL(1),
	}
	out := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		w, err := openWatcher(args[0])
		if err != nil {
			return err
		}
		var view discovery.Follower
		if f, ok := screen(cmd.OutOrStdout()); ok && *out == asText {
			live := &liveTable{f: f, title: name(w)}
			live.open()
			defer live.close()
			view = live.follower()
		} else {
			view = (&changeLog{out: cmd.OutOrStdout(), format: *out}).follower()
		}
		view.MaxEndpoints = discovery.DefaultMaxEndpoints
		discovery.Follow(cmd.Context(), w, view)
		return nil
	}
	return cmd
}

// name is what a watcher calls its place, which has no secret.
func name(w discovery.Watcher) string {
	if s, ok := w.(fmt.Stringer); ok {
		return s.String()
	}
	return "servers"
}

// change is a line of what watch and copy print.
type change struct {
	Time   time.Time `json:"time"`
	Event  string    `json:"event"` // added, updated, removed, rejected, empty, warning, retrying, lost
	Server *server   `json:"server,omitempty"`
	Error  string    `json:"error,omitempty"`
}

// changeLog prints changes line by line. It is safe for concurrent use.
type changeLog struct {
	out    io.Writer
	format format

	mu sync.Mutex // held while a line is printed
}

func (l *changeLog) follower() discovery.Follower {
	return discovery.Follower{
		Changed: func(c discovery.Change) {
			l.servers("added", c.Added)
			l.servers("updated", c.Updated)
			l.servers("removed", c.Removed)
			if len(c.Set) == 0 {
				l.print(change{Event: "empty"})
			}
		},
		Rejected: func(_ discovery.Endpoint, err error) { l.failure("rejected", err) },
		Warned: func(err error) {
			if err != nil {
				l.failure("warning", err)
			}
		},
		Retrying: func(err error) { l.failure("retrying", err) },
		Lost:     func(err error, _ time.Duration) { l.failure("lost", err) },
	}
}

func (l *changeLog) servers(event string, set []discovery.Endpoint) {
	for _, e := range slices.SortedFunc(slices.Values(set), byAddr) {
		s := toServer(e)
		l.print(change{Event: event, Server: &s})
	}
}

func (l *changeLog) failure(event string, err error) {
	l.print(change{Event: event, Error: err.Error()})
}

// print prints one line. That nobody reads it any more ends the program by SIGPIPE.
func (l *changeLog) print(c change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.Time = time.Now()
	if l.format == asJSON {
		_ = printLine(l.out, c)
		return
	}
	text := oneLine(c.Error)
	if s := c.Server; s != nil {
		text = fmt.Sprintf("%s weight=%g", s.Addr, s.Weight)
		if s.Zone != "" {
			text += " zone=" + plain(s.Zone)
		}
		if a := attributes(s.Attrs); a != "" {
			text += " " + a
		}
	}
	fmt.Fprintln(l.out, strings.TrimSpace(fmt.Sprintf("%s %-8s %s", c.Time.Format(time.RFC3339), c.Event, text)))
}

// oneLine returns the lines of an error in one, without control characters.
func oneLine(s string) string {
	var parts []string
	for line := range strings.Lines(s) {
		parts = append(parts, printableOnly(strings.TrimSpace(line)))
	}
	return strings.Join(parts, "; ")
}

// Escape sequences of the live table (ECMA-48). The alternate screen leaves what the
// terminal had before as it was.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	eraseLine   = "\x1b[K"
	eraseBelow  = "\x1b[J"
	reset       = "\x1b[0m"
	bold        = "\x1b[1m"
	red         = "\x1b[31m"
	green       = "\x1b[32m"
	yellow      = "\x1b[33m"
)

// liveTable draws the set into a terminal whenever something changes.
type liveTable struct {
	f     *os.File
	title string

	mu      sync.Mutex // of everything below, and held while the screen is drawn
	last    discovery.Change
	at      time.Time // of the last change
	state   string    // why there is no news from the registry
	failure string    // the last that the watch has outlasted, until it fades
	failed  time.Time // when that was
	fading  *time.Timer
	warning string
}

func (t *liveTable) open() {
	fmt.Fprint(t.f, enterScreen)
	t.change(func() { t.state = "waiting for the registry" })
}

func (t *liveTable) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.setFailureLocked("")
	fmt.Fprint(t.f, leaveScreen)
}

func (t *liveTable) follower() discovery.Follower {
	return discovery.Follower{
		Changed: func(c discovery.Change) {
			t.change(func() {
				t.last, t.at, t.state = c, time.Now(), ""
				t.setFailureLocked("")
			})
		},
		Warned: func(err error) {
			t.change(func() {
				t.warning = ""
				if err != nil {
					t.warning = oneLine(err.Error())
				}
			})
		},
		Retrying: func(err error) {
			t.change(func() { t.setFailureLocked(oneLine(err.Error())) })
		},
		Lost: func(err error, pause time.Duration) {
			t.change(func() {
				t.state = fmt.Sprintf("lost, trying again in %s: %s", brief(pause), oneLine(err.Error()))
				t.setFailureLocked("")
			})
		},
	}
}

// change changes what is shown.
func (t *liveTable) change(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f()
	t.drawLocked()
}

// setFailureLocked sets the failure, empty for none. It fades: that the registry is back with
// the same set is not told, and one that is not is lost by then.
func (t *liveTable) setFailureLocked(text string) {
	if t.fading != nil {
		t.fading.Stop()
	}
	t.failure, t.failed = text, time.Now()
	if text != "" {
		t.fading = time.AfterFunc(discovery.RetryWindow, t.fade)
	}
}

// fade is also called late, when another failure has come, or the screen is closed.
func (t *liveTable) fade() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failure != "" && time.Since(t.failed) >= discovery.RetryWindow {
		t.failure = ""
		t.drawLocked()
	}
}

func (t *liveTable) drawLocked() {
	_, height := size(t.f)
	draw(t.f, t.lines(height-1))
}

// size is that of a terminal.
func size(f *os.File) (width, height int) {
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil || width < 1 || height < 1 {
		return 80, 24
	}
	return width, height
}

// draw replaces what the screen shows. What is too wide is cut off.
func draw(f *os.File, lines []row) {
	width, _ := size(f)
	var b strings.Builder
	b.WriteString(home)
	for i, l := range lines {
		text := []rune(l.text)
		text = text[:min(len(text), width)]
		if l.color != "" && os.Getenv("NO_COLOR") == "" {
			b.WriteString(l.color + string(text) + reset)
		} else {
			b.WriteString(string(text))
		}
		b.WriteString(eraseLine)
		if i < len(lines)-1 {
			b.WriteString("\r\n")
		}
	}
	b.WriteString(eraseBelow)
	fmt.Fprint(f, b.String())
}

// row is a line of the screen.
type row struct{ text, color string }

// lines returns the screen, of at most height lines.
func (t *liveTable) lines(height int) []row {
	head := fmt.Sprintf("%d servers", len(t.last.Set))
	if !t.at.IsZero() {
		head += ", changed " + t.at.Format(time.TimeOnly)
	}
	rows := []row{{head + ", " + t.title, bold}} // what does not fit is cut off
	switch {
	case t.failure != "":
		rows = append(rows, row{fmt.Sprintf("not connected at %s: %s", t.failed.Format(time.TimeOnly), t.failure), red})
	case t.state != "":
		rows = append(rows, row{t.state, red})
	}
	if t.warning != "" {
		rows = append(rows, row{"warning: " + t.warning, yellow})
	}
	marks := make(map[string]row)
	mark := func(set []discovery.Endpoint, with row) {
		for _, e := range set {
			marks[e.Addr] = with
		}
	}
	mark(t.last.Added, row{"+ ", green})
	mark(t.last.Updated, row{"~ ", yellow})
	mark(t.last.Removed, row{"- ", red})
	all := slices.SortedFunc(slices.Values(slices.Concat(t.last.Set, t.last.Removed)), byAddr)
	for i, line := range table(all) {
		if i == 0 {
			rows = append(rows, row{"", ""}, row{"  " + line, bold})
			continue
		}
		m, ok := marks[all[i-1].Addr]
		if !ok {
			m.text = "  "
		}
		rows = append(rows, row{m.text + line, m.color})
	}
	if len(rows) > height {
		hidden := len(rows) - height + 1
		rows = append(rows[:height-1], row{fmt.Sprintf("  ... %d more lines; multipool ls has all", hidden), bold})
	}
	return rows
}
