package balance_test

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/bench/internal/report"
)

var (
	file = flag.String("o", "", "write the tables to this `file`")
	long = flag.Bool("long", false, "measure all balancers, for long enough to publish the tables")
)

// TestTables measures and writes the tables. What is exact in them does not depend on chance.
func TestTables(t *testing.T) {
	slice, all := 5*time.Second, arms()
	if !*long {
		slice = 50 * time.Millisecond
		all = slices.DeleteFunc(all, func(a arm) bool { return !a.exact })
	}
	var text strings.Builder
	if err := report.To(&text, *file, func(w io.Writer) error {
		write(t, w, all, slice)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + text.String())
	for _, a := range all {
		if n := strings.Count(text.String(), "\n| "+a.name+" |"); n != 5 {
			t.Errorf("%d rows begin with %s, want 5", n, a.name)
		}
	}
	const oneInHundred = `(?:0\.9[5-9]|1\.0[0-5]) %` // a call more or less is chance
	columns := strings.NewReplacer(" | ", ` \| `, "| ", `\| `, " |", ` \|`)
	for _, row := range []string{
		`| RoundRobin | 50\.00 % |`, `| WeightedRoundRobin | ` + oneInHundred + ` |`, `| LeastInFlight | ` + oneInHundred + ` |`,
		`| LeastLatency, the default | ` + oneInHundred + ` |`, `| LeastLatency, the default | 1\.00 | 0 | 1\.00 | 0 | 100 % |`,
		`| RingHash | 1\.00 | 0 | 1\.00 | 0 | 100 % |`, `| Rendezvous | 1\.00 | 0 | 1\.00 | 0 | 100 % |`,
	} {
		if !regexp.MustCompile(columns.Replace(row)).MatchString(text.String()) {
			t.Errorf("there is no row %s", row)
		}
	}
}

func TestEveryBalancerIsMeasured(t *testing.T) {
	files, err := filepath.Glob("../../balance/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func ([A-Z]\w*)\(.*\) Balancer \{$`).FindAllSubmatch(text, -1) {
			found := false
			for _, a := range arms() {
				found = found || strings.HasPrefix(a.name, string(m[1]))
			}
			if !found {
				t.Errorf("balance.%s is not measured", m[1])
			}
		}
	}
}

// write measures and writes the tables.
func write(t *testing.T, out io.Writer, all []arm, slice time.Duration) {
	t.Helper()
	fmt.Fprint(out, "# What balancers do with calls\n\n"+
		"Command: `make bench-balance`. Each pool is one of package core, with default options but for its balancer; connections are\n"+
		"dialed, and time is simulated. Answers take their time give or take 30 % (lognormal).\n")
	for _, table := range []func(*testing.T, io.Writer, []arm, time.Duration){writeShares, writeRestart, writeNoise, writeCanary, writeKeys, writeSubset} {
		table(t, out, all, slice)
	}
}
