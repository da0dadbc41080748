package main

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// terminal understands as much of a terminal as screen uses.
type terminal struct {
	width  int
	rows   []string // wrapped at width
	row    int
	column int
}

func (t *terminal) Write(p []byte) (int, error) {
	for s := string(p); s != ""; {
		if rest, ok := strings.CutPrefix(s, "\x1b["); ok {
			end := strings.IndexFunc(rest, func(r rune) bool { return r >= '@' })
			n, _ := strconv.Atoi(rest[:end])
			switch rest[end] {
			case 'A':
				t.row = max(0, t.row-n)
			case 'J':
				t.rows = t.rows[:min(len(t.rows), t.row)]
			}
			s = rest[end+1:]
			continue
		}
		r, n := utf8.DecodeRuneInString(s)
		s = s[n:]
		switch r {
		case '\n':
			t.at()
			t.row++
			t.column = 0
		case '\r':
			t.column = 0
		default:
			if t.column == t.width {
				t.row++
				t.column = 0
			}
			t.at()
			t.rows[t.row] += string(r)
			t.column++
		}
	}
	return len(p), nil
}

// at makes the cursor's row exist.
func (t *terminal) at() {
	for len(t.rows) <= t.row {
		t.rows = append(t.rows, "")
	}
}

// resize wraps every row anew, as terminals do.
func (t *terminal) resize(width int) {
	rows := t.rows
	t.width, t.rows, t.row, t.column = width, nil, 0, 0
	for _, r := range rows {
		_, _ = t.Write([]byte(r + "\n"))
	}
}

func lines(texts ...string) []line {
	all := make([]line, len(texts))
	for i, text := range texts {
		all[i] = line{text, tone(i % 5)}
	}
	return all
}

func TestFramesReplaceEachOtherBelowWhatWasThere(t *testing.T) {
	term := &terminal{width: 20}
	_, _ = term.Write([]byte("$ quickstart\n"))
	s := &screen{out: term, color: true}
	for _, frame := range [][]line{lines("one", "two", "three"), lines("four"), lines("five", "six")} {
		if err := s.draw(frame[:1], frame[1:], 20, 10); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"$ quickstart", "five", "six"}; !slices.Equal(term.rows, want) {
		t.Errorf("got %q, want %q", term.rows, want)
	}
}

func TestWideLinesAreCut(t *testing.T) {
	term := &terminal{width: 10}
	s := &screen{out: term}
	for range 2 {
		if err := s.draw(lines("0123456789abc", "é123456789abc"), nil, 10, 10); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"012345678", "é12345678"}; !slices.Equal(term.rows, want) {
		t.Errorf("got %q, want %q", term.rows, want)
	}
}

func TestOldestLinesOfTheTailGoWhenTheTerminalIsLow(t *testing.T) {
	term := &terminal{width: 20}
	s := &screen{out: term}
	if err := s.draw(lines("head"), lines("1", "2", "3", "4"), 20, 4); err != nil {
		t.Fatal(err)
	}
	if want := []string{"head", "3", "4"}; !slices.Equal(term.rows, want) {
		t.Errorf("got %q, want %q", term.rows, want)
	}
}

func TestTerminalMayBecomeNarrower(t *testing.T) {
	term := &terminal{width: 20}
	_, _ = term.Write([]byte("$\n"))
	s := &screen{out: term}
	if err := s.draw(lines("0123456789abcdef", "x"), nil, 20, 10); err != nil {
		t.Fatal(err)
	}
	term.resize(8)
	if err := s.draw(lines("0123456789abcdef", "x"), nil, 8, 10); err != nil {
		t.Fatal(err)
	}
	if want := []string{"$", "0123456", "x"}; !slices.Equal(term.rows, want) {
		t.Errorf("got %q, want %q", term.rows, want)
	}
}

func TestWithoutColorThereIsNone(t *testing.T) {
	var out strings.Builder
	s := &screen{out: &out}
	if err := s.draw(lines("a", "b", "c", "d", "e"), nil, 80, 24); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "m") {
		t.Errorf("drew %q", out.String())
	}
}
