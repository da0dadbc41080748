package dns

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/wait"
)

// Watcher returns a watcher of the addresses of a name, "name:port", or of SRV
// records, "_service._proto.name" or any other name without a port. servers are
// those to ask, each "host" or "host:port"; the default port is 53. Without any,
// the system's are asked.
//
// Watcher connects to nothing. The watcher's Validate reports every mistake in the
// arguments and options. Its Watch survives a failure of the servers that lasts
// less than about 10 s. Watch returns an error when one lasts longer, and at once
// when every server refuses, or when an answer is too large for DNS. The watcher is safe for concurrent use.
func Watcher(servers []string, name string, opts ...Option) discovery.Watcher {
	return &watcher{config: newConfig(servers, name, opts)}
}

type watcher struct {
	*config
	answering atomic.Pointer[string]                  // see look
	known     atomic.Pointer[map[string][]netip.Addr] // the same
}

// Validate reports every mistake in the arguments and options.
func (w *watcher) Validate() error { return w.validate() }

// String returns the name and the servers.
func (w *watcher) String() string {
	if len(w.servers) == 0 {
		return "dns " + w.where()
	}
	return "dns " + w.where() + " at " + strings.Join(w.servers, ",")
}

// Watch implements [discovery.Watcher].
func (w *watcher) Watch(ctx context.Context, report func([]discovery.Endpoint)) error {
	if err := errors.Join(ctx.Err(), w.Validate()); err != nil {
		return err
	}
	l := &look{config: w.config, client: &client{timeout: w.timeout, udp: w.transport == transportUDP}, answering: &w.answering}
	if known := w.known.Load(); known != nil {
		l.known = *known
	}
	set := discovery.NewSet(func(key string, _ []byte) ([]discovery.Endpoint, error) {
		if e, ok := l.endpoints[key]; ok {
			return []discovery.Endpoint{e}, nil
		}
		return nil, l.skipped[key]
	}, w.onSkipped)
	set.Admit(w.admission)
	warned := errors.New("of an earlier Watch, perhaps")
	warn := func(errs ...error) {
		if err := errors.Join(errs...); text(err) != text(warned) {
			discovery.ReportWarning(ctx, err)
			warned = err
		}
	}
	err := discovery.Retry(ctx, func(ctx context.Context, healthy func()) error {
		for {
			if err := l.lookUp(ctx); err != nil {
				if l.known == nil {
					l.known = map[string][]netip.Addr{} // the next look has to do with less
				}
				return err
			}
			known := l.known
			w.known.Store(&known)
			healthy()
			set.Replace(l.entries())
			set.Report(report)
			warn(l.missing, set.Warning())
			if err := wait.For(ctx, w.pause(l.ttl)); err != nil {
				return err
			}
		}
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("dns: looking up %s: %w", w.where(), err)
}

// pause returns the time until the next look.
func (w *watcher) pause(ttl time.Duration) time.Duration {
	if ttl < 0 { // an empty answer that does not say
		ttl = w.minTTL
	}
	ttl = min(max(ttl, w.minTTL), w.maxTTL)
	return ttl + rand.N(ttl/10)
}

// entries returns what was found as the entries of a set. An entry whose value is
// the same is the same.
func (l *look) entries() iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for key, e := range l.endpoints {
			if !yield(key, fmt.Appendf(nil, "%v %v", e.Weight, e.Attrs)) {
				return
			}
		}
		for key, err := range l.skipped {
			if _, ok := l.endpoints[key]; !ok && !yield(key, []byte(err.Error())) {
				return
			}
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
