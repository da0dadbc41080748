package xds

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	endpointpb "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

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

type watcher struct {
	*config
	next atomic.Int64 // the control plane at which the next Watch begins
}

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
	next := int(w.next.Load())
	err := discovery.Retry(ctx, func(ctx context.Context, healthy func()) error {
		server := w.servers[next]
		err := v.follow(ctx, server, healthy)
		next = (next + 1) % len(w.servers)
		if hopeless(err) {
			err = discovery.Permanent(err)
		}
		return fmt.Errorf("%s: %w", server, err)
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	w.next.Store(int64(next)) // one that refuses is not the first to be asked again
	return fmt.Errorf("xds: watching %s: %w", w.cluster, err)
}

// view is what one Watch knows of the cluster.
type view struct {
	*config
	report     func([]discovery.Endpoint)
	set        *discovery.Set
	assignment *assignment
	// from is the control plane that sent the cluster last, and version the last one that
	// it sent and that was accepted.
	from, version string
	warned        string
}

// follow follows the cluster at one control plane until that fails.
func (v *view) follow(ctx context.Context, server string, healthy func()) error {
	conn, err := v.connect(server)
	if err != nil {
		return discovery.Permanent(err) // a certificate that cannot be read, for one
	}
	defer func() { _ = conn.Close() }()
	// A control plane that sends nothing does not know the cluster, or hangs; unless it
	// has sent it before, and has nothing new behind a stream that broke. Another one may
	// have the same versions of other sets, and never have had the cluster.
	has := v.from == server
	version := ""
	if has {
		version = v.version
	}
	ctx, cancel := context.WithCancel(ctx)
	s, err := v.open(ctx, conn, version)
	if s != nil {
		defer s.drain()
	}
	defer cancel() // before drain
	if err != nil {
		return err
	}
	silence := time.NewTimer(v.timeout)
	defer silence.Stop()
	for {
		select {
		case a := <-s.answers:
			if a.err != nil {
				return a.err
			}
			cla, err := v.read(a.response)
			if err != nil { // the last set stays
				discovery.ReportFailure(ctx, fmt.Errorf("xds: %s: refused version %.100q: %w", v.cluster, a.response.GetVersionInfo(), err))
			} else {
				version = a.response.GetVersionInfo()
				has = has || cla != nil
			}
			if has {
				v.from, v.version = server, version
			}
			v.take(ctx, cla)
			if err := s.request(version, a.response.GetNonce(), err); err != nil {
				return err
			}
			if has {
				silence.Stop()
				healthy()
			}
		case <-silence.C:
			if !has {
				return fmt.Errorf("no endpoints of cluster %q within %v: the control plane has none of that name for node %q, or hangs", v.cluster, v.timeout, v.node)
			}
			healthy()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take reports the cluster, unless it is nil.
func (v *view) take(ctx context.Context, cla *endpointpb.ClusterLoadAssignment) {
	if cla == nil {
		return
	}
	v.assignment = assign(cla, v.allPriorities)
	v.set.Replace(v.assignment.entries())
	v.set.Report(v.report)
	v.warn(ctx)
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
