package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

func doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor URL",
		Short: "Find out why a registry, or a server in it, cannot be used",
		Long: `doctor does what a program does with a registry, one step at a time, and says of each how
long it took, what came of it, and what to do:

  parse     is the URL right, and are its secrets and files there?
  resolve   do the names of the registry's servers resolve?
  connect   do they accept connections?
  tls       do they speak TLS, with a certificate that is trusted?
  login     do they take the credentials?
  list      does the registry answer, and may this user read it?
  entries   are there entries, and which of them are skipped, and why?
  dial      do the servers that are listed accept connections?

The exit code is 0 if all is well; 1 if the registry cannot be used; 2 if the URL is wrong;
3 if the registry answers and has no server that can be read; 4 if there are servers, and
entries are skipped or servers do not answer.`,
		Example: `  multipool doctor 'zk://10.0.0.1,10.0.0.2/services/echo?format=curator'
  multipool doctor -o json etcd://10.0.0.1/services/echo/ | jq '.steps[] | select(.verdict!="ok")'`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeURL(1),
	}
	out := outputFlag(cmd)
	d := &doctor{}
	cmd.Flags().DurationVar(&d.timeout, "timeout", 5*time.Second, "how long each step may take, and each server")
	cmd.Flags().IntVar(&d.parallel, "parallel", 16, "servers that are dialed at the same time")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if d.parallel < 1 || d.timeout <= 0 {
			return exit(exitUsage, errors.New("--parallel and --timeout must be above 0"))
		}
		if *out == asText {
			d.told = func(s step) { s.print(cmd.OutOrStdout()) }
		}
		d.examine(cmd.Context(), args[0])
		if *out == asJSON {
			if err := printJSON(cmd.OutOrStdout(), d.report); err != nil {
				return exit(exitFailed, err)
			}
		} else {
			fmt.Fprintf(cmd.OutOrStdout(), "\n%s\n", d.report.Summary)
		}
		if d.report.Exit != 0 {
			return exit(d.report.Exit, nil)
		}
		return nil
	}
	return cmd
}

// verdict is what came of a step.
type verdict string

const (
	ok      verdict = "ok"
	warning verdict = "warning"
	failed  verdict = "failed"
	skipped verdict = "skipped"
)

// step is one step of doctor.
type step struct {
	Step    string  `json:"step"`
	Verdict verdict `json:"verdict"`
	Seconds float64 `json:"seconds"`
	Result  string  `json:"result"`
	// Details are of single hosts, entries or servers.
	Details []string `json:"details,omitempty"`
	// Advice is what to do.
	Advice string `json:"advice,omitempty"`
}

func (s step) print(w io.Writer) {
	fmt.Fprintf(w, "%-8s %-8s %8s  %s\n", s.Verdict, s.Step, brief(time.Duration(s.Seconds*float64(time.Second))), printableOnly(s.Result))
	for _, line := range s.Details {
		fmt.Fprintf(w, "%28s%s\n", "", printableOnly(line))
	}
	if s.Advice != "" {
		fmt.Fprintf(w, "%26s> %s\n", "", s.Advice)
	}
}

// report is doctor's JSON.
type report struct {
	URL     string   `json:"url,omitempty"` // without secrets
	Exit    int      `json:"exit"`
	Summary string   `json:"summary"`
	Steps   []step   `json:"steps"`
	Servers []server `json:"servers"`
}

// doctor examines one registry.
type doctor struct {
	timeout  time.Duration
	parallel int
	told     func(step) // nil for nobody

	url    *discovery.URL
	report report
}

// do does one step, which sets what it finds, and reports whether the next one makes sense.
func (d *doctor) do(name string, f func(s *step)) bool {
	s := step{Step: name, Verdict: ok}
	begun := time.Now()
	f(&s)
	if s.Seconds == 0 {
		s.Seconds = time.Since(begun).Seconds()
	}
	d.report.Steps = append(d.report.Steps, s)
	if d.told != nil {
		d.told(s)
	}
	return s.Verdict != failed
}

// examine does all steps up to the first that fails.
func (d *doctor) examine(ctx context.Context, raw string) {
	d.report.Servers = []server{}
	var w discovery.Watcher
	if !d.do("parse", func(s *step) { w = d.parse(s, raw) }) {
		d.end(exitUsage, "The URL is wrong.")
		return
	}
	d.report.URL = d.url.String()
	reg := place{url: d.url, raw: raw, timeout: d.timeout}
	if reg.hasServers() &&
		(!d.do("resolve", func(s *step) { reg.resolve(ctx, s) }) ||
			!d.do("connect", func(s *step) { reg.connect(ctx, s) }) ||
			!d.do("tls", func(s *step) { reg.handshake(ctx, s) })) {
		d.end(exitFailed, "The registry cannot be used.")
		return
	}
	var l listing
	if !d.do("list", func(s *step) { l = d.list(ctx, s, w, &reg) }) {
		d.end(exitFailed, "The registry cannot be used.")
		return
	}
	d.report.Servers = toServers(l.set)
	if !d.do("entries", func(s *step) { entries(s, l) }) {
		d.end(exitNoServers, "The registry works, and has no server that can be read there.")
		return
	}
	dead := 0
	d.do("dial", func(s *step) { dead = d.dial(ctx, s, l.set) })
	switch {
	case ctx.Err() != nil:
		d.end(exitFailed, "Interrupted.")
	case dead == len(l.set):
		d.end(exitUnwell, "The registry works, and none of its servers answers.")
	case dead > 0:
		d.end(exitUnwell, fmt.Sprintf("The registry works, and %d of %d servers do not answer.", dead, len(l.set)))
	case l.warning != nil:
		d.end(exitUnwell, fmt.Sprintf("All %d servers answer. Not everything in the registry counts, see entries.", len(l.set)))
	default:
		d.end(0, fmt.Sprintf("All is well: %d servers, all of which answer.", len(l.set)))
	}
}

func (d *doctor) end(code int, summary string) { d.report.Exit, d.report.Summary = code, summary }

// parse opens the URL.
func (d *doctor) parse(s *step, raw string) discovery.Watcher {
	w, err := registries().Open(raw)
	if err != nil {
		s.Verdict, s.Result = failed, oneLine(err.Error())
		s.Advice = "Correct the URL. The documentation of the plugin, go doc .../discovery/SCHEME, has its parameters."
		return nil
	}
	if d.url, err = discovery.ParseURL(raw); err != nil { // Open has parsed it
		s.Verdict, s.Result = failed, err.Error()
		return nil
	}
	s.Result = name(w)
	return w
}

// list gets the set. What fails in it may be the login.
func (d *doctor) list(ctx context.Context, s *step, w discovery.Watcher, reg *place) listing {
	l := list(ctx, w, d.timeout)
	s.Seconds = l.took.Seconds() // without the wait for warnings
	if l.err == nil {
		s.Result = "the registry answers"
		return l
	}
	f := diagnose(d.url.Scheme, l.err)
	if f.tls && reg.hasServers() && reg.speaksTLS(ctx) {
		f = finding{step: "tls", advice: "The registry's servers speak TLS, and the URL does not: add tls=true, and tls_ca=FILE if their authority is your own."}
	}
	s.Verdict, s.Result, s.Advice = failed, oneLine(l.err.Error()), f.advice
	if f.step != "" {
		s.Step = f.step
	}
	return l
}

// entries says what the registry has that is no server.
func entries(s *step, l listing) {
	s.Result = fmt.Sprintf("%d servers", len(l.set))
	if l.warning != nil {
		s.Verdict = warning
		for line := range strings.Lines(l.warning.Error()) {
			s.Details = append(s.Details, strings.TrimSpace(line))
		}
		s.Advice = "The others count. Remove the entries that are skipped, or have their programs register in this format."
	}
	if len(l.set) > 0 {
		return
	}
	s.Verdict = failed
	text := strings.Join(s.Details, " ")
	switch {
	case strings.Contains(text, "look like"):
		s.Advice = "The entries are of another format: add format=NAME to the URL, with the one that they look like."
	case strings.Contains(text, "one level"), strings.Contains(text, "slash in front"):
		s.Advice = "The path is wrong: the servers are where the line above says."
	case l.warning == nil:
		s.Result = "there is nothing at this place"
		s.Advice = "Either the path or name is wrong, or no server is registered: compare it with what the servers register."
	default:
		s.Advice = "The reason is in the line above; where, allow and deny in the URL leave servers out, too."
	}
}

// dial connects to each server, and returns how many do not answer.
func (d *doctor) dial(ctx context.Context, s *step, set []discovery.Endpoint) (dead int) {
	results := make([]error, len(set))
	turns := make(chan struct{}, d.parallel)
	var all sync.WaitGroup
	for i, e := range set {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			limit, cancel := context.WithTimeout(ctx, d.timeout)
			defer cancel()
			results[i] = dial(limit, e.Addr)
		})
	}
	all.Wait()
	causes := map[string]bool{}
	for i, err := range results {
		if err != nil {
			dead++
			cause, advice := dialCause(err)
			causes[advice] = true
			s.Details = append(s.Details, fmt.Sprintf("%s: %s", set[i].Addr, cause))
		}
	}
	s.Result = fmt.Sprintf("%d of %d servers accept connections", len(set)-dead, len(set))
	if dead > 0 {
		s.Verdict = warning
		if dead == len(set) {
			s.Verdict = failed
		}
		var advice []string
		for a := range causes {
			advice = append(advice, a)
		}
		slices.Sort(advice)
		s.Advice = strings.Join(advice, " ")
	}
	return dead
}
