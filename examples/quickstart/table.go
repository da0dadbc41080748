package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// row is one server in the live table.
type row struct {
	addr          string
	down          bool
	share         float64 // 0 to 1
	perSecond     float64
	inUse, conns  int
	median, worst time.Duration // p50 and p99
}

// table prints rows, a head and a sum, within width columns if there are as
// many as a terminal commonly has. The bars take what the figures leave over.
func table(rows []row, total row, width int) []line {
	const figures = "  %-5s  %6s  %8s  %6s  %5s  %9s  %9s"
	addrWidth := len("server")
	for _, r := range rows {
		addrWidth = max(addrWidth, len(r.addr))
	}
	rest := fmt.Sprintf(figures, "state", "share", "calls/s", "in use", "conns", "p50", "p99")
	barWidth := min(20, width-addrWidth-len(rest)-2)
	if barWidth < 5 {
		barWidth = 0
	}
	format := func(addr, rest, bar string) string {
		s := fmt.Sprintf("%-*s%s", addrWidth, addr, rest)
		if barWidth > 0 && bar != "" {
			s += "  " + bar
		}
		return s
	}

	lines := []line{{format("server", rest, ""), dim}}
	for _, r := range append(rows, total) {
		state, tone := "up", plain
		if r.down {
			state, tone = "DOWN", bad
		}
		share, bar := fmt.Sprintf("%.1f %%", 100*r.share), ""
		if r.addr == total.addr {
			state, share = "", ""
		} else if n := int(r.share*float64(barWidth) + 0.5); barWidth > 0 {
			bar = strings.Repeat("#", n) + strings.Repeat(".", barWidth-n)
		}
		rest := fmt.Sprintf(figures, state, share, fmt.Sprintf("%.0f", r.perSecond),
			strconv.Itoa(r.inUse), strconv.Itoa(r.conns), ms(r.median), ms(r.worst))
		lines = append(lines, line{format(r.addr, rest, bar), tone})
	}
	return lines
}

// ms prints a latency in milliseconds, so that all of them compare at a
// glance; "-" for none.
func ms(d time.Duration) string {
	v := float64(d) / float64(time.Millisecond)
	switch {
	case d <= 0:
		return "-"
	case v < 10:
		return fmt.Sprintf("%.2f ms", v)
	case v < 100:
		return fmt.Sprintf("%.1f ms", v)
	default:
		return fmt.Sprintf("%.0f ms", v)
	}
}
