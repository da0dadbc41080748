package scale_test

import (
	"flag"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/bench/internal/report"
)

var (
	file = flag.String("o", "", "write the tables to this `file`")
	long = flag.Bool("long", false, "play fleets of the published size")
)

// TestTables plays every scenario. What must hold at any size holds at this one.
func TestTables(t *testing.T) {
	n := size{clients: 20, servers: 20, outage: 10 * time.Minute, vast: 2000}
	if *long {
		n = size{clients: 200, servers: 200, outage: time.Hour, vast: 100_000}
	}
	var text strings.Builder
	if err := report.To(&text, *file, func(w io.Writer) error {
		fmt.Fprint(w, "# Large fleets in simulated time\n\nCommand: `make bench-scale`. Servers answer after 10 ms on average (exponentially distributed); a call may be\n"+
			"repeated twice. Networks and the registry are in memory.\n")
		for _, play := range scenarios() {
			synctest.Test(t, func(t *testing.T) { play(t, w, n) })
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + text.String())
	if n, lost := strings.Count(text.String(), "| calls lost |"), strings.Count(text.String(), "| calls lost | 0 of "); n != len(scenarios()) || lost != n {
		t.Errorf("no call was lost in %d of %d tables", lost, n)
	}
}
