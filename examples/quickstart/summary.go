package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/minicaptain/multi_connection_pool/core"
)

// phase is a named part of the run.
type phase struct {
	name string
	period
}

// conclude prints the summary; a call that was lost is an error. cuts are the
// moments at which the phases of the run change, as far as they came.
func conclude(out io.Writer, st *stats, cuts []period, attempts uint64) error {
	all := st.now()
	var phases []phase
	var begun period
	for i, name := range []string{"before the kill", "one killed", "started again"} {
		if i > len(cuts) {
			break
		}
		end := all
		if i < len(cuts) {
			end = cuts[i]
		}
		phases = append(phases, phase{name, end.since(begun)})
		begun = end
	}
	if _, err := fmt.Fprintf(out, "\n%s", summary(phases, st.servers, all, attempts)); err != nil {
		return err
	}
	if all.lost == 0 {
		return nil
	}
	return fmt.Errorf("%d calls were lost; the first errors:\n%w", all.lost, errors.Join(st.firstErrors()...))
}

// summary prints what was counted, one column for each phase. attempts is how
// many times a server was called: more than there were calls when some were
// repeated.
func summary(phases []phase, servers []string, all period, attempts uint64) string {
	var b strings.Builder
	head := len("share of ")
	for _, addr := range servers {
		head = max(head, len("share of "+addr))
	}
	row := func(name string, cell func(phase) string) {
		fmt.Fprintf(&b, "%-*s", head, name)
		for _, p := range phases {
			fmt.Fprintf(&b, "  %16s", cell(p))
		}
		b.WriteByte('\n')
	}
	row("", func(p phase) string { return p.name })
	row("", func(p phase) string { return fmt.Sprintf("%.1f - %.1f s", p.from.Seconds(), p.to.Seconds()) })
	row("calls", func(p phase) string { return strconv.FormatUint(p.all().total()+p.lost, 10) })
	row("lost", func(p phase) string { return strconv.FormatUint(p.lost, 10) })
	row("p50", func(p phase) string { return ms(p.all().quantile(0.50)) })
	row("p99", func(p phase) string { return ms(p.all().quantile(0.99)) })
	row("longest", func(p phase) string { return ms(p.all().quantile(1)) })
	for i, addr := range servers {
		row("share of "+addr, func(p phase) string { return fmt.Sprintf("%.1f %%", 100*p.share(i)) })
	}

	calls := all.all().total() + all.lost
	fmt.Fprintf(&b, "\n%d calls, %.0f a second; %d lost", calls, all.perSecond(calls), all.lost)
	if attempts >= calls {
		fmt.Fprintf(&b, ", %d repeated at another server", attempts-calls)
	}
	b.WriteByte('\n')
	return b.String()
}

// attempts is how many times a connection of the pool was used.
func attempts(pool core.Stats) (sum uint64) {
	for _, e := range pool.Endpoints {
		sum += e.Calls
	}
	return sum
}
