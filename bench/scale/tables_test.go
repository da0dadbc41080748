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
	many = flag.Int("n", 200, "with -long, how many clients and servers there are")
)

// TestTables plays every scenario. What must hold at any size holds at this one.
func TestTables(t *testing.T) {
	n := size{clients: 20, servers: 20, outage: 10 * time.Minute, vast: 2000}
	if *long {
		n = size{clients: *many, servers: *many, outage: time.Hour, vast: 100_000}
	}
	var text strings.Builder
	if err := report.To(&text, *file, func(w io.Writer) error {
		fmt.Fprintf(w, "# Large fleets in simulated time\n\nCommand: `make bench-scale ARGS='-n %d'`. Servers answer after 10 ms on average (exponentially distributed);\n"+
			"a call may be repeated twice. Networks and the registry are in memory.\n", n.servers)
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
