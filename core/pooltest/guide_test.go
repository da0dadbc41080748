package pooltest_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/core/pooltest"
)

func TestServerThatIsDownGetsNoCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fleet := pooltest.NewFleet("a:1", "b:1")
		var events pooltest.Recorder
		pool, err := core.New(fleet, fleet, core.WithObserver(events.Observe))
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close(t.Context()) // or synctest.Test reports the pool's goroutines

		fleet.Server("a:1").Down()
		for range 100 {
			if err := pool.Do(t.Context(), call, core.Attempts(3)); err != nil {
				t.Error(err)
			}
			time.Sleep(10 * time.Millisecond) // which takes no time
		}
		fleet.Server("a:1").Recover()
		if _, err := events.Wait(t.Context(), core.EventEndpointUp, "a:1"); err != nil {
			t.Error(err) // the pool has not dialed it again
		}
	})
}

func call(ctx context.Context, c *pooltest.Conn) error { return c.Call(ctx) }

// TestGuideIsWhatTheTestsRun compares the programs of the package documentation
// with this file.
func TestGuideIsWhatTheTestsRun(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile("guide_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var block strings.Builder
	blocks := 0
	for line := range strings.Lines(string(doc)) {
		if text, ok := strings.CutPrefix(line, "//\t"); ok {
			block.WriteString(text)
			continue
		}
		if line == "//\n" && strings.Count(block.String(), "{") != strings.Count(block.String(), "}") {
			block.WriteString("\n") // inside of a program
			continue
		}
		if block.Len() > 0 {
			blocks++
			if !strings.Contains(string(code), block.String()) {
				t.Errorf("no test has\n%s", &block)
			}
			block.Reset()
		}
	}
	if blocks != 2 {
		t.Errorf("%d programs are found", blocks)
	}
}
