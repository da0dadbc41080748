package main

import (
	"fmt"
	"io"
	"strings"
)

// line is one line of a screen: text of one column per character, without
// control characters.
type line struct {
	text string
	tone tone
}

type tone int

const (
	plain tone = iota
	good
	bad
	dim
	bold
)

// screen draws frames over each other at the bottom of a terminal, with the
// control sequences that every terminal of today has. What was above stays.
type screen struct {
	out   io.Writer
	color bool
	drawn []int // columns of each line of the last frame
}

// draw replaces the last frame by head and tail, for a terminal of the given
// size. It cuts lines that are too wide, and when there are too many, leaves
// out the first ones of tail.
func (s *screen) draw(head, tail []line, width, height int) error {
	if spare := len(head) + len(tail) - (height - 1); spare > 0 { // the cursor has a line too
		tail = tail[min(spare, len(tail)):]
		head = head[:min(len(head), max(0, height-1))]
	}
	var b strings.Builder
	if up := s.rows(width); up > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", up)
	}
	b.WriteString("\r\x1b[J")
	s.drawn = s.drawn[:0]
	for _, part := range [][]line{head, tail} {
		for _, l := range part {
			// A line of the full width would leave some terminals in doubt
			// about where the cursor is.
			text := cut(l.text, width-1)
			s.drawn = append(s.drawn, len([]rune(text)))
			b.WriteString(s.paint(text, l.tone))
			b.WriteByte('\n')
		}
	}
	_, err := io.WriteString(s.out, b.String())
	return err
}

// rows returns how many rows the last frame takes on a terminal that is width
// columns wide by now: one that was made narrower has wrapped long lines.
func (s *screen) rows(width int) int {
	n := 0
	for _, columns := range s.drawn {
		n += max(1, (columns+width-1)/width)
	}
	return n
}

func (s *screen) paint(text string, t tone) string {
	code := map[tone]string{good: "32", bad: "31", dim: "2", bold: "1"}[t]
	if !s.color || code == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func cut(text string, width int) string {
	r := []rune(text)
	return string(r[:min(len(r), max(0, width))])
}
