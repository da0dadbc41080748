package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// second returns the second line of the screen, which says what is wrong.
func second(t *liveTable) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lines(24)[1].text
}

// openTable opens a table on a screen that nobody sees.
func openTable(t *testing.T) *liveTable {
	t.Helper()
	f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	table := &liveTable{f: f, title: "x"}
	table.open()
	return table
}

// watchFunc is a watcher that is a function.
type watchFunc func(context.Context, func([]discovery.Endpoint)) error

func (f watchFunc) Watch(ctx context.Context, report func([]discovery.Endpoint)) error {
	return f(ctx, report)
}

func TestFailureThatTheWatchOutlastsFadesFromTheScreen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watchFunc(func(ctx context.Context, report func([]discovery.Endpoint)) error {
			tries := 0
			return discovery.Retry(ctx, func(ctx context.Context, healthy func()) error {
				tries++
				switch healthy(); tries {
				case 1:
					report([]discovery.Endpoint{{Addr: "10.0.0.1:80"}})
					time.Sleep(100 * time.Millisecond) // the set is shown
					return errors.New("the connection is lost")
				case 2:
					time.Sleep(discovery.RetryWindow / 2)
					return errors.New("and lost again")
				default: // connected, and nothing has changed
					<-ctx.Done()
					return ctx.Err()
				}
			})
		})
		table := openTable(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			discovery.Follow(ctx, w, table.follower())
		}()
		at := func(d time.Duration, want string) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if got := second(table); !strings.HasPrefix(got, "not connected at ") != (want == "") || !strings.HasSuffix(got, want) {
				t.Errorf("%v later the screen says %q, want %q", d, got, want)
			}
		}
		// The pauses between the tries are at most a second.
		at(time.Second, ": the connection is lost")
		at(discovery.RetryWindow/2, ": and lost again")
		at(discovery.RetryWindow/2+time.Second, ": and lost again") // the first would have faded
		at(discovery.RetryWindow/2, "")
		cancel()
		<-ended
		table.close()
	})
}

func TestFailureThatFadesLeavesWhyThereIsNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := openTable(t)
		f := table.follower()
		fades := func(want string) {
			t.Helper()
			f.Retrying(errors.New("refused"))
			if got := second(table); !strings.HasSuffix(got, ": refused") {
				t.Errorf("the screen says %q", got)
			}
			time.Sleep(discovery.RetryWindow)
			synctest.Wait()
			if got := second(table); got != want {
				t.Errorf("the screen says %q, want %q", got, want)
			}
		}
		fades("waiting for the registry")
		f.Lost(errors.New("away"), time.Second)
		fades("lost, trying again in 1s: away")
		f.Changed(discovery.Change{})
		fades("")
		f.Retrying(errors.New("refused"))
		table.close() // and nothing is drawn afterwards
	})
}

func TestValueOfAnAttributeIsTakenAsItIs(t *testing.T) {
	for _, c := range []struct{ given, name, value string }{
		{"q=a=1,b=2", "q", "a=1,b=2"},
		{`q="x"`, "q", `"x"`},
		{"q=", "q", ""},
		{"q=a,b", "q", "a,b"},
	} {
		cmd := registerCommand()
		if err := cmd.ParseFlags([]string{"--attr", "other=1", "--attr", c.given}); err != nil {
			t.Fatal(err)
		}
		given, err := cmd.Flags().GetStringArray("attr")
		if err != nil {
			t.Fatal(err)
		}
		attrs, err := parseAttrs(given)
		if err != nil || len(attrs) != 2 || attrs[c.name] != c.value || attrs["other"] != "1" {
			t.Errorf("%s: %q, error %v", c.given, attrs, err)
		}
	}
	if attrs, err := parseAttrs(nil); attrs != nil || err != nil {
		t.Errorf("without any: %q, error %v", attrs, err)
	}
}

func TestLsHasTheWarningThatComesBehindNone(t *testing.T) {
	odd := errors.New("1 of 2 entries are skipped")
	w := watchFunc(func(ctx context.Context, report func([]discovery.Endpoint)) error {
		report([]discovery.Endpoint{{Addr: "10.0.0.1:80"}})
		time.Sleep(settle / 4)            // the set is known
		discovery.ReportWarning(ctx, nil) // that of where
		time.Sleep(settle / 4)            // the plugin looks
		if ctx.Err() == nil {
			discovery.ReportWarning(ctx, odd)
		}
		<-ctx.Done()
		return ctx.Err()
	})
	synctest.Test(t, func(t *testing.T) {
		if l := list(t.Context(), w, time.Minute); !errors.Is(l.warning, odd) || l.err != nil || len(l.set) != 1 {
			t.Errorf("%d servers, the warning is %v, the error %v", len(l.set), l.warning, l.err)
		}
	})
}
