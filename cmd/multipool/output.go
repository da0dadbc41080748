package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// format is the value of the flag -o.
type format string

const (
	asText format = "text"
	asJSON format = "json"
)

func (f *format) String() string { return string(*f) }
func (f *format) Type() string   { return "format" }

func (f *format) Set(s string) error {
	if s != string(asText) && s != string(asJSON) {
		return fmt.Errorf("%q is neither text nor json", s)
	}
	*f = format(s)
	return nil
}

// outputFlag adds the flag -o to a command.
func outputFlag(cmd *cobra.Command) *format {
	f := asText
	cmd.Flags().VarP(&f, "output", "o", "text or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return &f
}

// server is an endpoint in JSON. Its names are those that a file:// registry reads, without
// regard to case, so that what ls prints can be served as one.
type server struct {
	Addr   string            `json:"addr"`
	Weight float64           `json:"weight"`
	Zone   string            `json:"zone,omitempty"`
	Attrs  map[string]string `json:"attrs,omitempty"`
}

func toServer(e discovery.Endpoint) server {
	return server{e.Addr, cmp.Or(e.Weight, 1), e.Zone, e.Attrs}
}

func toServers(set []discovery.Endpoint) []server {
	all := make([]server, len(set))
	for i, e := range set {
		all[i] = toServer(e)
	}
	return all
}

// byAddr orders the lines of a table; the order of a registry means nothing.
func byAddr(a, b discovery.Endpoint) int { return strings.Compare(a.Addr, b.Addr) }

// printJSON prints v as indented JSON.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// printLine prints v as one line of JSON.
func printLine(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// table returns the lines of a table of servers, the first of which is the head.
func table(set []discovery.Endpoint) []string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ADDRESS\tWEIGHT\tZONE\tATTRIBUTES")
	for _, e := range set {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", e.Addr, weight(e), cmp.Or(e.Zone, "-"), cmp.Or(attributes(e.Attrs), "-"))
	}
	_ = w.Flush() // a Builder does not fail
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " ")
	}
	return lines
}

func weight(e discovery.Endpoint) string { return strconv.FormatFloat(cmp.Or(e.Weight, 1), 'g', 4, 64) }

// attributes returns attributes as text in one line. A value with a control character or a
// space is quoted: a registry's content must not steer a terminal.
func attributes(attrs map[string]string) string {
	parts := make([]string, 0, len(attrs))
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		parts = append(parts, plain(name)+"="+plain(attrs[name]))
	}
	return strings.Join(parts, " ")
}

func plain(s string) string {
	if q := strconv.Quote(s); s == "" || strings.Contains(s, " ") || q != `"`+s+`"` {
		return q
	}
	return s
}

// screen reports whether w is a terminal that understands escape sequences.
func screen(w io.Writer) (*os.File, bool) {
	f, ok := w.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// brief is a duration for people.
func brief(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	default:
		return d.Round(10 * time.Millisecond).String()
	}
}

// printableOnly replaces what could steer a terminal.
func printableOnly(s string) string { return strings.Map(printable, s) }

// printableLines is printableOnly for text of several lines, which tabs indent.
func printableLines(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		return printable(r)
	}, s)
}

func printable(r rune) rune {
	if !unicode.IsPrint(r) {
		return '?'
	}
	return r
}
