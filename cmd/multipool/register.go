package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/lifecycle"
)

// registering is what the flags of register say.
type registering struct {
	weight   float64
	zone     string
	attrs    []string // NAME=VALUE
	httpPath string
	check    string
	interval time.Duration
	failures int
	linger   time.Duration
	grace    time.Duration
	out      *format
}

func registerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "register URL ADDR [-- COMMAND ARGS...]",
		Short: "Keep a server registered while it is healthy",
		Long: `register puts the server at ADDR into a registry once it answers, takes it out while it
does not, and keeps it there through outages of the registry.

With a command it also starts and stops the server. On SIGTERM or Ctrl-C the server leaves
the registry first; after --linger, in which clients notice, the command gets SIGTERM; after
--grace its process group is killed. A second signal kills it at once. A command that ends by
itself is taken out of the registry at once, and is not started again.

The exit code is that of the command, 128 and the signal's number if a signal ended it; 1
if it could not be started or something else answers at ADDR already; 2 if the command line
is wrong. What happens is on stderr; stdout is the command's own.`,
		Example: `  multipool register zk://10.0.0.1/services/echo 10.0.0.7:9090 -- ./echo -addr :9090
  multipool register --http /healthz --zone eu-1 --attr version=3 consul://127.0.0.1/echo 10.0.0.7:8080 -- ./web
  multipool register etcd://10.0.0.1/services/echo/ 10.0.0.7:9090   # a server that runs already`,
		Args: func(cmd *cobra.Command, args []string) error {
			if dash := cmd.ArgsLenAtDash(); dash >= 0 && dash != 2 || dash < 0 && len(args) != 2 || dash == len(args) {
				return errors.New("register takes a URL, an address and, behind --, a command")
			}
			return nil
		},
		ValidArgsFunction: completeURL(1),
	}
	r := &registering{out: outputFlag(cmd)}
	f := cmd.Flags()
	f.Float64Var(&r.weight, "weight", 0, "relative capacity of the server; 0 means the registry's default, 1")
	f.StringVar(&r.zone, "zone", "", "availability zone of the server")
	// StringToString would read the value as CSV.
	f.StringArrayVar(&r.attrs, "attr", nil, "attribute `NAME=VALUE`; may be repeated")
	f.StringVar(&r.httpPath, "http", "", "path that must answer GET with 2xx for the server to be healthy; by default a TCP connection is enough")
	f.StringVar(&r.check, "check", "", "address to check, if it is not ADDR, such as 127.0.0.1:9090")
	f.DurationVar(&r.interval, "interval", time.Second, "time between two checks, and the time that each may take")
	f.IntVar(&r.failures, "failures", 3, "checks that must fail in a row before a healthy server is taken out")
	f.DurationVar(&r.linger, "linger", 5*time.Second, "time between leaving the registry and stopping the command")
	f.DurationVar(&r.grace, "grace", 30*time.Second, "time that the command has to end after SIGTERM")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		registrar, err := openRegistrar(args[0])
		if err != nil {
			return err
		}
		e := discovery.Endpoint{Addr: args[1], Weight: r.weight, Zone: r.zone}
		if e.Attrs, err = parseAttrs(r.attrs); err != nil {
			return exit(exitUsage, err)
		}
		return r.run(cmd.Context(), registrar, e, args[2:], cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

// parseAttrs returns attributes, of which of the same name the last counts; nil for none.
func parseAttrs(given []string) (map[string]string, error) {
	if len(given) == 0 {
		return nil, nil
	}
	attrs := make(map[string]string, len(given))
	for _, a := range given {
		name, value, ok := strings.Cut(a, "=")
		if !ok {
			return nil, fmt.Errorf("--attr %q is not NAME=VALUE", a)
		}
		attrs[name] = value
	}
	return attrs, nil
}

func (r *registering) run(ctx context.Context, registrar discovery.Registrar, e discovery.Endpoint, args []string, stdout, stderr io.Writer) error {
	log := &stateLog{out: stderr, format: *r.out, addr: e.Addr}
	check, err := r.checker(e.Addr)
	if err != nil {
		return exit(exitUsage, err)
	}
	if r.grace <= 0 {
		return exit(exitUsage, errors.New("--grace must be above 0"))
	}
	p := &process{linger: r.linger, grace: r.grace, log: log}
	service, err := lifecycle.New(registrar, e,
		lifecycle.WithCheck(func(ctx context.Context) error { return log.checked(p.check(ctx, check)) }),
		lifecycle.CheckInterval(r.interval), lifecycle.FailureThreshold(r.failures),
		// The process lingers by itself: one that has ended needs no time.
		lifecycle.Linger(0), lifecycle.DrainTimeout(r.linger+r.grace+time.Minute),
		lifecycle.OnRegistration(log.registration))
	if err != nil {
		return exit(exitUsage, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if len(args) > 0 {
		limit, done := context.WithTimeout(ctx, r.interval)
		err := check(limit)
		done()
		if err == nil {
			return exit(exitFailed, fmt.Errorf("something answers at %s before the command is started; it would be registered in the command's place", e.Addr))
		}
		if err := p.start(args, stdout, stderr, cancel); err != nil {
			return exit(exitFailed, err)
		}
	}
	err = service.Run(ctx, p.stop)
	if err != nil {
		log.note("failed", err)
	}
	switch code := p.status(); {
	case code != 0:
		return exit(code, nil)
	case err != nil:
		return exit(exitFailed, nil)
	}
	return nil
}

// checker returns the check of the server's health.
func (r *registering) checker(addr string) (func(context.Context) error, error) {
	if r.check != "" {
		addr = r.check
	}
	if err := (discovery.Endpoint{Addr: addr}).Validate(); err != nil {
		return nil, err
	}
	if r.httpPath == "" {
		return func(ctx context.Context) error { return dial(ctx, addr) }, nil
	}
	path, err := url.ParseRequestURI(r.httpPath)
	if err != nil || !strings.HasPrefix(r.httpPath, "/") {
		return nil, fmt.Errorf("--http %q is not a path that begins with a slash", r.httpPath)
	}
	host := addr
	if strings.HasPrefix(addr, "unix:") {
		host = "localhost"
	}
	path.Scheme, path.Host = "http", host
	client := &http.Client{
		// A connection of its own each time: the listener is what clients need.
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return connect(ctx, addr)
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, path.String(), http.NoBody)
		if err != nil {
			return err
		}
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode/100 != 2 {
			return fmt.Errorf("%s answers %s", path, res.Status)
		}
		return nil
	}, nil
}

// connect dials an endpoint's address.
func connect(ctx context.Context, addr string) (net.Conn, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		network, addr = "unix", path
	}
	return (&net.Dialer{}).DialContext(ctx, network, addr)
}

func dial(ctx context.Context, addr string) error {
	c, err := connect(ctx, addr)
	if err != nil {
		return err
	}
	return c.Close()
}

// process is the command that register runs. The zero process has none.
type process struct {
	linger, grace time.Duration
	log           *stateLog

	cmd   *exec.Cmd
	ended chan struct{} // closed when the command has ended and its group is gone
}

// start starts the command. It calls onEnd when that has ended.
func (p *process) start(args []string, stdout, stderr io.Writer, onEnd func()) error {
	p.cmd = exec.Command(args[0], args[1:]...) //nolint:gosec,noctx // it is the user's own; stop ends it
	p.cmd.Stdout, p.cmd.Stderr = stdout, stderr
	// What the command leaves behind may hold the pipes; the group is killed anyway.
	p.cmd.WaitDelay = time.Second
	ownGroup(p.cmd)
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.log.note("started", nil)
	p.ended = make(chan struct{})
	go func() { // until the command ends, which stop sees to
		defer close(p.ended)
		defer onEnd()
		_ = p.cmd.Wait() // status has it
		kill(p.cmd)
		p.log.note("ended", errors.New(p.cmd.ProcessState.String()))
	}()
	return nil
}

// check fails once the command has ended: whoever answers then is another.
func (p *process) check(ctx context.Context, server func(context.Context) error) error {
	if p.hasEnded() {
		return errors.New("the command has ended")
	}
	return server(ctx)
}

func (p *process) hasEnded() bool {
	select {
	case <-p.ended: // nil without a command
		return true
	default:
		return false
	}
}

// stop ends the command, when the server has left the registry.
func (p *process) stop(context.Context) error {
	if p.cmd == nil || p.hasEnded() {
		return nil
	}
	hurry, done := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer done()
	p.log.note("lingering", nil)
	if p.await(p.linger, hurry) { //nolint:contextcheck // it waits for the second signal
		return nil
	}
	p.log.note("stopping", nil)
	terminate(p.cmd)
	if p.await(p.grace, hurry) { //nolint:contextcheck // likewise
		return nil
	}
	p.log.note("killing", nil)
	kill(p.cmd)
	<-p.ended
	return nil
}

// await reports whether the command ends within d, or before hurry does.
func (p *process) await(d time.Duration, hurry context.Context) bool { //nolint:revive // it is not the context of the call
	late := time.NewTimer(d)
	defer late.Stop()
	select {
	case <-p.ended:
		return true
	case <-late.C:
	case <-hurry.Done():
	}
	return false
}

// status is the exit code of the command, 0 without one.
func (p *process) status() int {
	if p.cmd == nil {
		return 0
	}
	return status(p.cmd.ProcessState)
}
