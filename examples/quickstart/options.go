package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"
)

// options is what the flags say.
type options struct {
	duration    time.Duration
	servers     int
	concurrency int
	rate        int // calls per second; 0 = as many as possible
	size        int // bytes
	registry    string
	live        string        // listen address of the live page; empty = none
	slow        time.Duration // that the last server takes longer
}

// parse reads the flags. It returns flag.ErrHelp when help was asked for and
// printed, and otherwise an error that names every bad flag.
func parse(args []string, out io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.DurationVar(&o.duration, "duration", 12*time.Second, "how long to call; a server is killed at 1/3 of it and started again at 2/3")
	flags.IntVar(&o.servers, "servers", 3, "servers, each a process of its own")
	flags.IntVar(&o.concurrency, "concurrency", 16, "goroutines that call")
	flags.IntVar(&o.rate, "rate", 2000, "calls per second, of all goroutines together; 0 = as many as possible")
	flags.IntVar(&o.size, "size", 100, "bytes of payload, there and back")

	flags.StringVar(&o.live, "live", "127.0.0.1:0", "listen address of the live page; port 0 picks a free port; empty for no page")
	flags.DurationVar(&o.slow, "slow", 0, "how much longer than the others one server takes to answer")
	flags.StringVar(&o.registry, "registry", "", "how the pool finds the servers: etcd (runs in this program), zk, consul or a URL, "+
		"if that was built in by -tags registries,embedetcd; by default, a list")

	flags.SetOutput(io.Discard)
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(out, "Calls a few Thrift servers through a pool, and kills one of them meanwhile.\n\n")
		flags.SetOutput(out)
		flags.PrintDefaults()
	}
	if err != nil {
		return options{}, err
	}
	return o, o.validate(flags.Args())
}

func (o options) validate(rest []string) error {
	var errs []error
	must := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	must(len(rest) == 0, "unexpected argument %q", rest)
	must(o.duration >= time.Second, "-duration %v: must be at least 1s", o.duration)
	must(o.servers >= 2 && o.servers <= 100, "-servers %d: must be from 2 (one has to take over) to 100", o.servers)
	must(o.concurrency >= 1 && o.concurrency <= 10000, "-concurrency %d: must be from 1 to 10000", o.concurrency)
	must(o.rate >= 0, "-rate %d: must not be negative", o.rate)
	must(o.slow >= 0 && o.slow <= time.Second, "-slow %v: must be from 0 to 1s", o.slow)
	must(o.size >= 0 && o.size <= 1<<20, "-size %d: must be from 0 to 1048576", o.size)
	return errors.Join(errs...)
}

// String describes the run.
func (o options) String() string {
	rate := fmt.Sprintf("%d calls/s", o.rate)
	if o.rate == 0 {
		rate = "calls without pause"
	}
	how := ""
	if o.registry != "" {
		how, _, _ = strings.Cut(o.registry, ":") // a URL may have a password
		how = " found through " + how
	}
	return fmt.Sprintf("%d servers%s, %d callers, %s of %d bytes", o.servers, how, o.concurrency, rate, o.size)
}
