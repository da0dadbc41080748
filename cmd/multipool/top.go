package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/observe/live"
)

const (
	// maxDocument bounds what is read of one message of a page: 1,000 servers with their
	// charts are below 2 MB.
	maxDocument = 16 << 20
	// reconnect is how long top waits after a stream has ended.
	reconnect = time.Second
	// silence ends a stream: the page sends something each second.
	silence = 10 * time.Second
)

func topCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "top ADDR",
		Short: "Show the pools of a running program",
		Long: `top shows what the pools of a program do now: which servers they have, which of them get
what, and what happened. The program has to serve the page of package observe/live.

ADDR is where that page is: a URL, or HOST:PORT for http://HOST:PORT/debug/pools/.

In a terminal the table follows the program until Ctrl-C. Elsewhere, or with -o json, top
prints once what the page shows.

A header for a page behind authentication is given as a reference, so that no secret is in
the list of processes: --header Authorization=env:NAME or --header Authorization=file:PATH.

The exit code is 0 if all is well, and after Ctrl-C; 1 if the page cannot be read; 2 if the
command line is wrong; 4 if the page says that something is not well.`,
		Example: `  multipool top 127.0.0.1:8080
  multipool top -o json --pool users https://shop.example.com/debug/pools/ | jq '.pool.servers[] | select(.state!="in service")'`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	out := outputFlag(cmd)
	var pool, query, sort string
	var limit int
	var headers []string
	f := cmd.Flags()
	f.StringVar(&pool, "pool", "", "the pool to show; by default the first")
	f.StringVar(&query, "query", "", "words that a server's address, zone or state must contain")
	f.StringVar(&sort, "sort", "trouble", "trouble, address, share, latency, errors or in_use")
	f.IntVar(&limit, "limit", 50, "servers that are shown, from 1 to 1000; in a terminal no more than fit")
	f.StringArrayVar(&headers, "header", nil, "header of the request, NAME=VALUE; VALUE may be env:NAME or file:PATH")
	_ = cmd.RegisterFlagCompletionFunc("sort", cobra.FixedCompletions(sorts, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		at, err := pageURL(args[0])
		if err != nil {
			return exit(exitUsage, err)
		}
		if limit < 1 || limit > 1000 {
			return exit(exitUsage, errors.New("--limit is from 1 to 1000"))
		}
		if !slices.Contains(sorts, sort) {
			return exit(exitUsage, fmt.Errorf("--sort %q is none of %s", sort, strings.Join(sorts, ", ")))
		}
		t := &top{page: at, query: url.Values{"pool": {pool}, "q": {query}, "sort": {sort}, "limit": {strconv.Itoa(limit)}}}
		for _, h := range headers {
			name, value, ok := strings.Cut(h, "=")
			if !ok || name == "" {
				return exit(exitUsage, errors.New("--header is NAME=VALUE")) // not quoted, it may be a secret
			}
			t.headers = append(t.headers, header{name, discovery.NewSecret(value)})
		}
		if file, ok := screen(cmd.OutOrStdout()); ok && *out == asText {
			t.follow(cmd.Context(), file)
			return nil
		}
		return t.once(cmd.Context(), cmd.OutOrStdout(), *out)
	}
	return cmd
}

var sorts = []string{"trouble", "address", "share", "latency", "errors", "in_use"} //nolint:gochecknoglobals // a constant

// pageURL returns the URL of a page, which ends with a slash.
func pageURL(addr string) (*url.URL, error) {
	if !strings.Contains(addr, "://") {
		addr = "http://" + addr
	}
	u, err := url.Parse(addr)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("the address is neither HOST:PORT nor a URL of http or https")
	}
	if u.User != nil {
		return nil, errors.New("the address has a password, which others would see in the list of processes: use --header Authorization=env:NAME")
	}
	u.RawQuery, u.Fragment = "", ""
	switch {
	case u.Path == "" || u.Path == "/":
		u.Path = "/debug/pools/"
	case !strings.HasSuffix(u.Path, "/"):
		u.Path += "/"
	}
	return u, nil
}

// top reads the page of one program.
type top struct {
	page    *url.URL
	query   url.Values
	headers []header
}

// header is one of the request.
type header struct {
	name  string
	value discovery.Secret
}

// get asks the page for one of its resources. The caller closes the body.
func (t *top) get(ctx context.Context, name string) (*http.Response, error) {
	at := t.page.JoinPath(name)
	at.RawQuery = t.query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	for _, h := range t.headers {
		value, err := h.value.Value()
		if err != nil {
			return nil, err
		}
		req.Header.Set(h.name, value)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		res.Body.Close()
		return nil, fmt.Errorf("%s answers %s; is that the page of observe/live, and may you see it?", at.Redacted(), res.Status)
	}
	return res, nil
}

// read decodes what a page shows.
func read(data []byte) (*live.Document, error) {
	var doc live.Document
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("that is no page of observe/live: %w", err)
	}
	return &doc, nil
}

// once prints what the page shows now.
func (t *top) once(ctx context.Context, w io.Writer, as format) error {
	limit, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	res, err := t.get(limit, "pools.json")
	if err != nil {
		return exit(exitFailed, err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxDocument))
	if err != nil {
		return exit(exitFailed, err)
	}
	doc, err := read(data)
	if err != nil {
		return exit(exitFailed, err)
	}
	if as == asJSON {
		var pretty bytes.Buffer
		if err = json.Indent(&pretty, bytes.TrimSpace(data), "", "  "); err == nil {
			pretty.WriteByte('\n')
			_, err = w.Write(pretty.Bytes())
		}
	} else {
		for _, r := range pools(doc, unlimited) {
			if _, err = fmt.Fprintln(w, r.text); err != nil {
				break
			}
		}
	}
	if err != nil {
		return exit(exitFailed, err)
	}
	if doc.Level != live.OK {
		return exit(exitUnwell, nil)
	}
	return nil
}

// follow draws what the page shows until ctx ends.
func (t *top) follow(ctx context.Context, f *os.File) {
	fmt.Fprint(f, enterScreen)
	defer fmt.Fprint(f, leaveScreen)
	var last *live.Document
	show := func(trouble string) {
		_, height := size(f)
		var rows []row
		if trouble != "" {
			rows = append(rows, row{trouble, red})
		}
		if last != nil {
			rows = append(rows, pools(last, height-1-len(rows))...)
		}
		draw(f, rows)
	}
	show("asking " + t.page.Redacted())
	for ctx.Err() == nil {
		err := t.stream(ctx, func(doc *live.Document) {
			last = doc
			show("")
		})
		if ctx.Err() != nil {
			return
		}
		show("not connected: " + oneLine(err.Error()))
		select {
		case <-ctx.Done():
		case <-time.After(reconnect): //nolint:forbidigo // once a second
		}
	}
}

// stream calls show with each document that the page sends, and returns why that has ended.
func (t *top) stream(ctx context.Context, show func(*live.Document)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	quiet := time.AfterFunc(silence, func() { cancel(fmt.Errorf("the page has sent nothing for %v", silence)) })
	defer quiet.Stop()
	res, err := t.get(ctx, "stream")
	if err != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxDocument)
	for lines.Scan() {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !ok {
			continue
		}
		doc, err := read(data)
		if err != nil {
			return err
		}
		quiet.Reset(silence)
		show(doc)
	}
	return cmp.Or(context.Cause(ctx), lines.Err(), errors.New("the page has ended the stream"))
}

// unlimited is a screen of any height.
const unlimited = 1 << 30

// pools returns what a page shows, in at most height lines: the verdict, all pools, and of
// one pool its servers and what happened last.
func pools(doc *live.Document, height int) []row {
	rows := []row{{fmt.Sprintf("%s: %s", doc.Process, oneLine(doc.Verdict)), colors[doc.Level]}, {}}
	var all []row
	for _, p := range doc.Pools {
		all = append(all, row{fmt.Sprintf("%s\t%d\t%d\t%.4g\t%.4g\t%s\t%s\t%d\t%d", plain(p.Name), p.Servers, p.InService, p.CallsPerSecond, p.FailuresPerSecond,
			ms(p.P50), ms(p.P99), p.InUse, p.Waiting), colors[p.Level]})
	}
	rows = append(rows, columns("POOL\tSERVERS\tIN SERVICE\tCALLS/S\tFAILURES/S\tP50\tP99\tIN USE\tWAITING", all)...)
	d := doc.Pool
	if d == nil {
		return crop(rows, height)
	}
	rows = append(rows, row{}, registryLine(d))
	if d.Registry.Doctor != "" {
		rows = append(rows, row{"  to find the cause: " + oneLine(d.Registry.Doctor), bold})
	}
	for _, text := range d.Registry.Disagreements {
		rows = append(rows, row{"  " + oneLine(text), yellow})
	}
	events := happened(d)
	left := height - len(rows) - 1 // the head of the table
	if left < len(d.Servers)+len(events) {
		events = events[:max(0, min(len(events), left/3))]
	}
	table := columns("ADDRESS\tSTATE\tSHARE\tCALLS/S\tFAILURES/S\tLATENCY\tIN USE\tWHY", serverRows(d))
	if room := left - len(events); len(table)-1 > room || d.Matching > len(d.Servers)+d.Offset {
		shown := max(0, min(len(d.Servers), room-1))
		table = append(table[:shown+1], row{fmt.Sprintf("  ... %d more servers", d.Matching-d.Offset-shown), bold})
	}
	return crop(append(append(rows, table...), events...), height)
}

func crop(rows []row, height int) []row { return rows[:max(0, min(len(rows), height))] }

var colors = map[live.Level]string{live.OK: green, live.Warn: yellow, live.Bad: red} //nolint:gochecknoglobals // a constant

// registryLine says what is known from the registry.
func registryLine(d *live.Detail) row {
	r := row{fmt.Sprintf("%s: the set is %s since %s", plain(d.Name), d.Registry.State, clock(d.Registry.Since)), bold}
	if d.Registry.Warning != "" {
		r.text, r.color = r.text+"; warning: "+oneLine(d.Registry.Warning), yellow
	}
	if d.Registry.Error != "" {
		r.text, r.color = r.text+"; "+oneLine(d.Registry.Error), red
	}
	return r
}

// serverRows returns a line for each server, its cells separated by tabs.
func serverRows(d *live.Detail) []row {
	rows := make([]row, 0, len(d.Servers))
	for _, s := range d.Servers {
		why := "-"
		switch {
		case s.State == "ejected" && s.Ejection != nil:
			why = s.Ejection.Cause
		case s.Down && s.LastDial != "":
			why = s.LastDial
		}
		use := strconv.Itoa(s.InUse)
		if s.Limit > 0 {
			use += fmt.Sprintf("/%d", s.Limit)
		}
		color := ""
		if s.Level != live.OK {
			color = colors[s.Level]
		}
		rows = append(rows, row{fmt.Sprintf("%s\t%s\t%.1f %%\t%.4g\t%.4g\t%s\t%s\t%s", plain(s.Addr), s.State, 100*s.Share, s.CallsPerSecond, s.FailuresPerSecond,
			ms(s.Latency), use, oneLine(why)), color})
	}
	return rows
}

// happened returns what happened last, the newest first, below an empty line.
func happened(d *live.Detail) []row {
	if len(d.Events) == 0 {
		return nil
	}
	rows := []row{{}}
	for _, e := range d.Events {
		text := clock(e.Time) + " " + string(e.Kind)
		switch {
		case e.Servers > 1:
			text += fmt.Sprintf(" at %d servers", e.Servers)
		case e.Server != "":
			text += " " + plain(e.Server)
		case e.State != "":
			text += ": " + string(e.State)
		}
		if e.Count > 1 {
			text += fmt.Sprintf(", %d times", e.Count)
		}
		if e.Cause != "" {
			text += ": " + oneLine(e.Cause)
		}
		rows = append(rows, row{text, ""})
	}
	return rows
}

// columns aligns the cells of rows, which tabs separate, below a head.
func columns(head string, rows []row) []row {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, head)
	for _, r := range rows {
		fmt.Fprintln(w, r.text)
	}
	_ = w.Flush() // a Builder does not fail
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	aligned := []row{{strings.TrimRight(lines[0], " "), bold}}
	for i, r := range rows {
		aligned = append(aligned, row{strings.TrimRight(lines[i+1], " "), r.color})
	}
	return aligned
}

func ms(v float64) string {
	if v == 0 {
		return "-"
	}
	return brief(time.Duration(v * float64(time.Millisecond)))
}

func clock(t time.Time) string { return t.Local().Format(time.TimeOnly) }
