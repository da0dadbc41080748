package main

import (
	"strings"
	"testing"
	"time"
)

func sample() ([]row, row) {
	rows := []row{
		{"127.0.0.1:40001", false, 0.501, 1002, 2, 5, 110 * time.Microsecond, 12345 * time.Microsecond},
		{"127.0.0.1:9", true, 0, 0, 0, 0, 0, 0},
		{"127.0.0.1:50002", false, 0.499, 998, 1, 4, 90 * time.Microsecond, 1500 * time.Millisecond},
	}
	return rows, row{"all", false, 1, 2000, 3, 9, 100 * time.Microsecond, 13 * time.Millisecond}
}

func TestTableHasOneAlignedLinePerServer(t *testing.T) {
	rows, total := sample()
	got := ""
	for _, l := range table(rows, total, 100) {
		got += l.text + "\n"
	}
	want := `
server           state   share   calls/s  in use  conns        p50        p99
127.0.0.1:40001  up     50.1 %      1002       2      5    0.11 ms    12.3 ms  ##########..........
127.0.0.1:9      DOWN    0.0 %         0       0      0          -          -  ....................
127.0.0.1:50002  up     49.9 %       998       1      4    0.09 ms    1500 ms  ##########..........
all                                 2000       3      9    0.10 ms    13.0 ms
`
	if got != want[1:] {
		t.Errorf("got\n%swant%s", got, want)
	}
}

func TestTableFitsATerminalOf80Columns(t *testing.T) {
	rows, total := sample()
	for _, l := range table(rows, total, 80) {
		if len(l.text) > 79 {
			t.Errorf("%d columns: %s", len(l.text), l.text)
		}
	}
}

func TestServerThatIsDownStandsOut(t *testing.T) {
	rows, total := sample()
	for _, l := range table(rows, total, 80) {
		if strings.Contains(l.text, "DOWN") != (l.tone == bad) {
			t.Errorf("tone %v: %s", l.tone, l.text)
		}
	}
}
