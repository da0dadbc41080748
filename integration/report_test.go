package integration

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
)

// A row is one line of the report: a fault, or a number, on each registry.
type row struct {
	table       string
	description string
	test        string
	cells       map[string]string // by the name of the registry
}

const (
	faults  = "What happens in trouble"
	numbers = "Numbers"
)

// the report of this run, which TestMain writes.
var (
	reportMu sync.Mutex
	rows     []*row
)

func newRow(table, description, test string) *row {
	reportMu.Lock()
	defer reportMu.Unlock()
	r := &row{table, description, test, make(map[string]string)}
	rows = append(rows, r)
	return r
}

func (r *row) set(registry, cell string) {
	reportMu.Lock()
	defer reportMu.Unlock()
	r.cells[registry] = cell
}

// record collects what a test measures with one registry.
type record struct {
	t       *testing.T
	figures []string
}

// figure adds a measurement.
func (c *record) figure(format string, args ...any) {
	c.t.Helper()
	f := fmt.Sprintf(format, args...)
	c.t.Log(f)
	c.figures = append(c.figures, f)
}

// notApplicable skips the test and reports why the registry has nothing to test.
func (c *record) notApplicable(why string) {
	c.t.Helper()
	c.figures = []string{"n/a: " + why}
	c.t.Skip(why)
}

// eachRegistry runs test with each registry in turn, and reports the row.
func eachRegistry(t *testing.T, table, description string, test func(t *testing.T, reg *registry, rec *record)) {
	t.Helper()
	c := theCluster(t)
	r := newRow(table, description, t.Name())
	for _, reg := range registries(c) {
		t.Run(reg.name, func(t *testing.T) {
			rec := &record{t: t}
			defer func() {
				cell := strings.Join(rec.figures, "; ")
				if t.Failed() {
					cell = strings.TrimSuffix("**FAILED** "+cell, " ")
				}
				r.set(reg.name, cell)
			}()
			test(t, reg, rec)
		})
	}
}

func ms(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	default:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
}

func TestMain(m *testing.M) {
	thrift.ServerStopTimeout = 100 * time.Millisecond // then a server closes connections that a pool still has
	slog.SetDefault(slog.New(slog.DiscardHandler))    // what Thrift's server has to say of it
	code := m.Run()
	kubernetes := "no Kubernetes"
	if k, err := theKubernetes(); err == nil {
		kubernetes = k.Versions()
	}
	endKubernetes()
	if path := os.Getenv("REPORT"); path != "" && len(rows) > 0 {
		if err := os.WriteFile(path, reportText(kubernetes), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// reportText is REPORT.md.
func reportText(kubernetes string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `# Real registries: what was seen

Written by `+"`make integration`"+` on %s: %d CPUs, %s, %s, with
%s, %s, %s and %s
in containers on the same machine, and %s beside them. ZooKeeper and etcd are three servers each, Consul a server and a
client agent, Kubernetes an API server and an etcd, whose EndpointSlices the tests write: there is no controller.

In the first table servers register themselves through the registrars (Kubernetes has none) and are called through a pool all the while. In each
cell, whatever else it says, no call has failed and no endpoint that stood has left the pool, unless the row is about that.
`,
		time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH,
		env("ZOOKEEPER_IMAGE"), env("ETCD_IMAGE"), env("CONSUL_IMAGE"), env("CONSUL_OLD_IMAGE"), kubernetes)
	columns := []string{"ZooKeeper", "etcd", "Consul 1.20", "Consul 1.8", "Kubernetes"}
	for _, table := range []string{faults, numbers} {
		fmt.Fprintf(&b, "\n## %s\n\n| | %s | test |\n|---|%s---|\n",
			table, strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
		for _, r := range rows {
			if r.table != table {
				continue
			}
			fmt.Fprintf(&b, "| %s |", r.description)
			for _, registry := range columns {
				fmt.Fprintf(&b, " %s |", orElse(r.cells[registry], "not run"))
			}
			fmt.Fprintf(&b, " `%s` |\n", r.test)
		}
	}
	fmt.Fprintf(&b, "\n## Not measured here\n\n")
	for _, s := range notMeasured {
		fmt.Fprintf(&b, "- %s\n", s)
	}
	return b.Bytes()
}

var notMeasured = []string{
	"1,000 clients that reconnect at once: one process shares its sessions, and a thousand processes do not fit on a test machine.",
	"An outage of an hour: the outage here lasts several times as long as sessions and leases do.",
	"A connection that is cut at each byte of a list: the conformance suite does that (`CutAtEveryByte`).",
}

func env(name string) string { return "`" + orElse(os.Getenv(name), "unknown image") + "`" }

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
