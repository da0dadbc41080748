package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/minicaptain/multi_connection_pool/core"
)

// view shows a run while it goes on.
type view struct {
	o      options
	st     *stats
	events *timeline
	pool   func() core.Stats
}

// show shows the run on out until ended is closed: as a table that is redrawn
// in place if out is a terminal, else as a line per second.
func (v *view) show(out io.Writer, ended <-chan struct{}) error {
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		return v.live(f, ended)
	}
	return v.lines(out, ended)
}

func (v *view) live(f *os.File, ended <-chan struct{}) error {
	const perSecond = 5
	tick := time.NewTicker(time.Second / perSecond)
	defer tick.Stop()
	s := &screen{out: f, color: os.Getenv("NO_COLOR") == ""}
	past := []period{v.st.now()} // one for each frame of the last second
	for going := true; going; {
		select {
		case <-tick.C:
		case <-ended:
			going = false
		}
		now := v.st.now()
		past = append(past, now)
		past = past[max(0, len(past)-1-perSecond):]

		width, height, err := term.GetSize(int(f.Fd()))
		if err != nil {
			width, height = 80, 24
		}
		if err := s.draw(v.head(now, now.since(past[0]), width), v.tail(), width, height); err != nil {
			return err
		}
	}
	return nil
}

// head is the part of the live view that has to be seen.
func (v *view) head(now, last period, width int) []line {
	all := now.all().total()
	lost := line{fmt.Sprintf("%d calls, %d lost", all+now.lost, now.lost), good}
	if now.lost > 0 {
		lost.tone = bad
	}
	head := []line{
		{fmt.Sprintf("%.1f s of %v: %s", now.to.Seconds(), v.o.duration, v.o), bold},
		{},
	}
	head = append(head, table(v.rows(last), v.total(last), width)...)
	return append(head, line{}, lost, line{})
}

// tail is the timeline.
func (v *view) tail() []line {
	var tail []line
	for _, e := range v.events.from(0) {
		tail = append(tail, line{e.String(), e.tone})
	}
	return tail
}

// rows puts together what the callers saw last and what the pool says now.
func (v *view) rows(last period) []row {
	inPool := make(map[string]core.EndpointStats)
	for _, e := range v.pool().Endpoints {
		inPool[e.Endpoint.Addr] = e
	}
	rows := make([]row, len(v.st.servers))
	for i, addr := range v.st.servers {
		e := inPool[addr]
		rows[i] = row{
			addr: addr, down: e.Down, inUse: e.InUse, conns: e.Open,
			share: last.share(i), perSecond: last.perSecond(last.servers[i].total()),
			median: last.servers[i].quantile(0.50), worst: last.servers[i].quantile(0.99),
		}
	}
	return rows
}

func (v *view) total(last period) row {
	total := row{addr: "all", perSecond: last.perSecond(last.all().total())}
	total.median, total.worst = last.all().quantile(0.50), last.all().quantile(0.99)
	for _, e := range v.pool().Endpoints {
		total.inUse += e.InUse
		total.conns += e.Open
	}
	return total
}

// lines prints what happened, and a line of figures each second.
func (v *view) lines(out io.Writer, ended <-chan struct{}) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	before, told := v.st.now(), 0
	for going := true; going; {
		select {
		case <-tick.C:
		case <-ended:
			going = false
		}
		for _, e := range v.events.from(told) {
			told++
			if _, err := fmt.Fprintln(out, e); err != nil {
				return err
			}
		}
		now := v.st.now()
		if last := now.since(before); going {
			if _, err := fmt.Fprintln(out, v.figures(last)); err != nil {
				return err
			}
		}
		before = now
	}
	return nil
}

func (v *view) figures(last period) string {
	all := last.all()
	var b strings.Builder
	fmt.Fprintf(&b, "%6.2f s  %.0f calls/s, %d lost, p50 %s, p99 %s; shares", last.to.Seconds(),
		last.perSecond(all.total()), last.lost, ms(all.quantile(0.50)), ms(all.quantile(0.99)))
	for i := range last.servers {
		fmt.Fprintf(&b, " %.1f %%", 100*last.share(i))
	}
	return b.String()
}
