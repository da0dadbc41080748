// Package endtoendtest is the test of every end-to-end comparison.
package endtoendtest

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/bench/internal/endtoend"
	"github.com/minicaptain/multi_connection_pool/bench/internal/measure"
	"github.com/minicaptain/multi_connection_pool/bench/internal/servers"
)

// brief is long enough for some calls of anyone.
const brief = 5 * time.Millisecond

// Run runs every arm under every workload, and a report of one workload, in which it looks for all arms and for want.
func Run(t *testing.T, c endtoend.Comparison, want ...string) {
	t.Helper()
	t.Run("every arm gets its answers under every workload", func(t *testing.T) {
		group, err := servers.StartGroup(c.Protocol, 3)
		if err != nil {
			t.Fatal(err)
		}
		defer group.Kill()
		for _, load := range c.Workloads {
			for _, a := range c.Arms {
				t.Run(load.Name()+"/"+a.Name, func(t *testing.T) {
					way, err := a.Open(group.Addrs(), load)
					if err != nil {
						t.Fatal(err)
					}
					defer way.Close()
					if err := endtoend.Try(way, load, brief); err != nil {
						t.Error(err)
					}
				})
			}
		}
	})
	t.Run("the report names every arm and goal", func(t *testing.T) {
		var out bytes.Buffer
		load := c.Workloads[1]
		if err := c.Report(&out, "^"+load.Name()+"$", measure.Settings{Rounds: 1, Slice: brief}); err != nil {
			t.Fatal(err)
		}
		want = append(want, "Command:", "## "+load.Name()+"\n")
		for _, a := range c.Arms {
			want = append(want, "| "+a.Name+" |")
		}
		for _, b := range c.Bases {
			want = append(want, "| x "+b.Label+": ")
		}
		for _, want := range want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %q in the report:\n%s", want, &out)
			}
		}
	})
}
