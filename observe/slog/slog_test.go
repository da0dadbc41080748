package slogobserver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	slogobserver "github.com/minicaptain/multi_connection_pool/observe/slog"
	"github.com/minicaptain/multi_connection_pool/outlier"
)

// book is a logger whose lines are read back.
type book struct {
	*slog.Logger

	mu  sync.Mutex
	buf bytes.Buffer
}

func newBook(level slog.Level) *book {
	b := new(book)
	b.Logger = slog.New(slog.NewJSONHandler(b, &slog.HandlerOptions{Level: level}))
	return b
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// lines returns the lines that were logged since the last time.
func (b *book) lines(t *testing.T) (all []map[string]any) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for d := json.NewDecoder(&b.buf); ; {
		var line map[string]any
		if err := d.Decode(&line); errors.Is(err, io.EOF) {
			b.buf.Reset()
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, line)
	}
}

func TestLineHasTheTimeTheCauseAndTheNumbersOfItsEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(slog.LevelDebug)
		observe := slogobserver.New(b.With("pool", "users"))
		at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		for _, c := range []struct {
			ev   core.Event
			want string
		}{
			{
				core.Event{
					Kind: core.EventEndpointEjected, Endpoint: "a:1", Err: io.EOF, Duration: 400 * time.Millisecond,
					Evidence: &outlier.Evidence{Calls: 5, Failures: 4, Likelihood: 1e8, Baseline: 0.002},
				},
				`{"level":"WARN","msg":"endpoint ejected","endpoint":"a:1","error":"EOF","first_probe_in":400000000,"calls":5,"failures":4,"baseline":0.002}`,
			},
			{
				core.Event{Kind: core.EventEndpointReadmitted, Endpoint: "a:1", Duration: time.Second, Evidence: &outlier.Evidence{Calls: 5, Probes: 3}},
				`{"level":"INFO","msg":"endpoint readmitted","endpoint":"a:1","lasted":1000000000,"probes":3}`,
			},
			{
				core.Event{Kind: core.EventEjectionSuppressed, Endpoint: "a:1", Evidence: new(outlier.Evidence)},
				`{"level":"WARN","msg":"ejection suppressed","endpoint":"a:1","calls":0,"failures":0,"baseline":0}`,
			},
			{core.Event{Kind: core.EventDialFailed, Endpoint: "a:1", Err: io.EOF, Duration: 1}, `{"level":"WARN","msg":"dial failed","endpoint":"a:1","error":"EOF","took":1}`},
			{core.Event{Kind: core.EventDialed, Endpoint: "a:1", Duration: 1}, `{"level":"DEBUG","msg":"dialed","endpoint":"a:1","took":1}`},
			{core.Event{Kind: core.EventConnClosed, Endpoint: "a:1"}, `{"level":"DEBUG","msg":"connection closed","endpoint":"a:1"}`},
			{core.Event{Kind: core.EventLeaseLeaked, Endpoint: "a:1", Duration: 1, Stack: "main.go:1"}, `{"level":"WARN","msg":"lease leaked","endpoint":"a:1","lasted":1,"stack":"main.go:1"}`},
			{core.Event{Kind: core.EventStateChanged, State: core.StateReady}, `{"level":"INFO","msg":"state changed","state":"ready"}`},
			{core.Event{Kind: core.EventStateChanged, State: core.StateStale}, `{"level":"WARN","msg":"state changed","state":"stale"}`},
			{core.Event{Kind: core.EventWatchFailing, Err: io.EOF}, `{"level":"WARN","msg":"watch failing","error":"EOF","doctor":"` + discovery.Doctor + `"}`},
			{core.Event{Kind: core.EventWatchWarning, Err: io.EOF}, `{"level":"WARN","msg":"watch warning","error":"EOF"}`},
			{core.Event{Kind: core.EventWatchLost, Err: io.EOF}, `{"level":"ERROR","msg":"watch lost","error":"EOF","doctor":"` + discovery.Doctor + `"}`},
			{core.Event{Kind: core.EventBalancerFailed, Err: io.EOF}, `{"level":"ERROR","msg":"balancer failed","error":"EOF"}`},
			{core.Event{Kind: core.EventEndpointAdded, Endpoint: "a:1"}, `{"level":"INFO","msg":"endpoint added","endpoint":"a:1"}`},
			{core.Event{Kind: core.EventEndpointRemoved, Endpoint: "a:1"}, `{"level":"INFO","msg":"endpoint removed","endpoint":"a:1"}`},
			{core.Event{Kind: core.EventEndpointRejected, Endpoint: "a", Err: io.EOF}, `{"level":"WARN","msg":"endpoint rejected","endpoint":"a","error":"EOF"}`},
			{core.Event{Kind: core.EventEndpointDown, Endpoint: "a:1", Err: io.EOF}, `{"level":"WARN","msg":"endpoint down","endpoint":"a:1","error":"EOF"}`},
			{core.Event{Kind: core.EventEndpointUp, Endpoint: "a:1"}, `{"level":"INFO","msg":"endpoint up","endpoint":"a:1"}`},
			{core.Event{Kind: "something new"}, `{"level":"WARN","msg":"something new"}`},
		} {
			c.ev.Time = at
			observe(c.ev)
			want := strings.TrimSuffix(c.want, "}") + `,"pool":"users","time":"2026-01-02T03:04:05Z"}`
			lines := b.lines(t)
			got, err := json.Marshal(append(lines, nil)[0])
			if err != nil || len(lines) != 1 || !sameJSON(t, string(got), want) {
				t.Errorf("%s: %d lines, %s\nwant %s", c.ev.Kind, len(lines), got, want)
			}
		}
		time.Sleep(time.Hour) // what remembers repeats has ended
	})
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y map[string]any
	if err := errors.Join(json.Unmarshal([]byte(a), &x), json.Unmarshal([]byte(b), &y)); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(x) == fmt.Sprint(y)
}

func TestDoctorIsInTheFirstLineOfAnOutageAndNotInItsRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(slog.LevelInfo)
		observe := slogobserver.New(b.Logger)
		for range 100 {
			observe(core.Event{Time: time.Now(), Kind: core.EventWatchLost, Err: io.EOF})
		}
		time.Sleep(time.Hour)
		lines := b.lines(t)
		if len(lines) != 2 || lines[0]["doctor"] != discovery.Doctor || lines[1]["doctor"] != nil {
			t.Errorf("logged %v", lines)
		}
	})
}

func TestRepeatsAreCountedAndLoggedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(slog.LevelInfo)
		observe := slogobserver.New(b.Logger)
		fail := func(addr string, i int) {
			observe(core.Event{Time: time.Now(), Kind: core.EventDialFailed, Endpoint: addr, Err: fmt.Errorf("failure %d", i)})
		}
		logged := func(want ...string) {
			t.Helper()
			var got []string
			for _, l := range b.lines(t) {
				got = append(got, fmt.Sprint(l["endpoint"], " ", l["error"], " ", l["repeated"]))
			}
			if !slices.Equal(got, want) {
				t.Errorf("logged %q, want %q", got, want)
			}
		}
		for i := range 101 { // for 50 s
			fail("a:1", i)
			time.Sleep(500 * time.Millisecond)
		}
		fail("b:1", 0) // another endpoint is another matter
		observe(core.Event{Kind: core.EventEndpointDown, Endpoint: "a:1", Err: io.EOF})
		logged("a:1 failure 0 <nil>", "b:1 failure 0 <nil>", "a:1 EOF <nil>")
		time.Sleep(10 * time.Second)
		logged("a:1 failure 100 100")
		fail("a:1", 101)
		logged()
		time.Sleep(time.Hour)
		logged("a:1 failure 101 1")
		fail("a:1", 102)
		logged("a:1 failure 102 <nil>")
		time.Sleep(time.Hour)
		logged()
	})
}

func TestLargeFleetGetsFewLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(slog.LevelInfo)
		observe := slogobserver.New(b.Logger)
		for round := range 3 {
			for i := range 10_000 {
				observe(core.Event{Time: time.Now(), Kind: core.EventEndpointAdded, Endpoint: fmt.Sprintf("10.0.%d.%d:1", round, i)})
			}
			n := len(b.lines(t))
			time.Sleep(time.Hour)
			lines := b.lines(t)
			if n != 20 || len(lines) != 1 || lines[0]["repeated"] != 9980. {
				t.Errorf("10,000 servers that come get %d lines, and then %v", n, lines)
			}
		}
	})
}

func TestWhatIsNotLoggedIsNotRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(slog.LevelError)
		observe := slogobserver.New(b.Logger)
		begun := time.Now()
		for range 1000 {
			observe(core.Event{Kind: core.EventDialed, Endpoint: "a:1"})
		}
		synctest.Wait()
		if len(b.lines(t)) != 0 || time.Since(begun) != 0 {
			t.Error("there are lines")
		}
	})
}

type conn struct{}

func (conn) Close() error { return nil }

func Example() {
	logger := slog.New(slog.NewTextHandler(printer{}, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	dial := func(context.Context, core.Endpoint) (conn, error) { return conn{}, nil }
	pool, err := core.New(static.Watcher("10.0.0.1:80"), core.DialFunc[conn](dial), core.WithObserver(slogobserver.New(logger.With("pool", "users"))))
	if err != nil {
		panic(err)
	}
	_ = pool.WaitReady(context.Background())
	_ = pool.Close(context.Background())
	// Output:
	// level=INFO msg="state changed" pool=users state=ready
	// level=INFO msg="endpoint added" pool=users endpoint=10.0.0.1:80
}

type printer struct{}

func (printer) Write(p []byte) (int, error) { return fmt.Print(string(p)) }
