package xds

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// Watcher returns a watcher of the endpoints of a cluster. servers are control planes
// that serve aggregated discovery (ADS), each "host", "host:port" or "unix:/path"; the
// default port is 18000. One of them is enough.
//
// Watcher connects to nothing. The watcher's Validate reports every mistake in the
// arguments and options. Its Watch survives a failure of the control planes that lasts
// less than about 10 s. Watch returns an error when one lasts longer, when they do not
// send the cluster, and at once when one refuses the program. The watcher is safe for
// concurrent use.
func Watcher(servers []string, cluster string, opts ...Option) discovery.Watcher {
	return &watcher{config: newConfig(servers, cluster, opts)}
}

type watcher struct{ *config }

// Validate reports every mistake in the arguments and options.
func (w *watcher) Validate() error { return w.validate() }

// String returns the cluster and the control planes.
func (w *watcher) String() string {
	return "xds " + w.cluster + " at " + strings.Join(w.servers, ",")
}

// Watch implements [discovery.Watcher].
func (w *watcher) Watch(ctx context.Context, report func([]discovery.Endpoint)) error {
	if err := errors.Join(ctx.Err(), w.Validate()); err != nil {
		return err
	}
	v := &view{config: w.config, report: report, assignment: &assignment{}, warned: "of an earlier Watch, perhaps"}
	v.set = discovery.NewSet(func(key string, _ []byte) ([]discovery.Endpoint, error) { return v.assignment.decode(key) }, w.onSkipped)
	v.set.Admit(w.admission)
	next := 0
	err := discovery.Retry(ctx, func(ctx context.Context, healthy func()) error {
		server := w.servers[next%len(w.servers)]
		err := v.follow(ctx, server, healthy)
		next++
		if hopeless(err) {
			err = discovery.Permanent(err)
		}
		return fmt.Errorf("%s: %w", server, err)
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("xds: watching %s: %w", w.cluster, err)
}

// view is what one Watch knows of the cluster.
type view struct {
	*config
	report     func([]discovery.Endpoint)
	set        *discovery.Set
	assignment *assignment
	version    string // the last one that was accepted
	known      bool   // there was one
	warned     string
}

// follow follows the cluster at one control plane until that fails.
func (v *view) follow(ctx context.Context, server string, healthy func()) error {
	conn, err := v.connect(server)
	if err != nil {
		return discovery.Permanent(err) // a certificate that cannot be read, for one
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	s, err := v.open(ctx, conn, v.version)
	if s != nil {
		defer s.drain()
	}
	defer cancel() // before drain
	if err != nil {
		return err
	}
	// A control plane that sends nothing does not know the cluster, or hangs; unless it
	// has nothing new, behind a stream that broke.
	silence := time.NewTimer(v.timeout)
	defer silence.Stop()
	for {
		select {
		case a := <-s.answers:
			if a.err != nil {
				return a.err
			}
			if err := v.take(ctx, s, a); err != nil {
				return err
			}
			if v.known {
				silence.Stop()
				healthy()
			}
		case <-silence.C:
			if !v.known {
				return fmt.Errorf("no endpoints of cluster %q within %v: the control plane has none of that name for node %q, or hangs", v.cluster, v.timeout, v.node)
			}
			healthy()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take accepts a response or refuses it.
func (v *view) take(ctx context.Context, s *stream, a answer) error {
	cla, err := v.read(a.response)
	if err != nil { // the last set stays
		discovery.ReportFailure(ctx, fmt.Errorf("xds: %s: refused version %.100q: %w", v.cluster, a.response.GetVersionInfo(), err))
		return s.request(v.version, a.response.GetNonce(), err)
	}
	v.version = a.response.GetVersionInfo()
	if cla != nil {
		v.known = true
		v.assignment = assign(cla, v.allPriorities)
		v.set.Replace(v.assignment.entries())
		v.set.Report(v.report)
		v.warn(ctx)
	}
	return s.request(v.version, a.response.GetNonce(), nil)
}

// warn reports what a user should know, if that has changed.
func (v *view) warn(ctx context.Context) {
	err := errors.Join(v.assignment.warning, v.set.Warning())
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != v.warned {
		v.warned = text
		discovery.ReportWarning(ctx, err)
	}
}
