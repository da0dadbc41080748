package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// Watcher returns a watcher of the endpoints of a Service, "namespace/service:port".
// The port is that of the pods, by its number, or by its name in the Service. Without
// ":port", it is the only one that there is.
//
// Watcher connects to nothing. The watcher's Validate reports every mistake in the
// arguments and options; it reads the kubeconfig. Its Watch survives a failure of the
// API server that lasts less than about 10 s. Watch returns an error when one lasts
// longer, and at once when the program may not list or watch EndpointSlices, or none
// of the Service's has the port. The watcher is safe for concurrent use.
func Watcher(service string, opts ...Option) discovery.Watcher {
	return &watcher{config: newConfig(service, opts)}
}

type watcher struct{ *config }

// Validate reports every mistake in the arguments and options.
func (w *watcher) Validate() error { return w.validate() }

// String returns the Service and the context.
func (w *watcher) String() string {
	if w.context == "" {
		return "k8s " + w.where()
	}
	return "k8s " + w.where() + " in " + w.context
}

// Watch implements [discovery.Watcher].
func (w *watcher) Watch(ctx context.Context, report func([]discovery.Endpoint)) error {
	if err := errors.Join(ctx.Err(), w.Validate()); err != nil {
		return err
	}
	c, err := newClient(w.config)
	if err != nil {
		return fmt.Errorf("kubernetes: %w", err)
	}
	defer c.close()
	err = discovery.Retry(ctx, newFollower(newView(c, report)).follow)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("kubernetes: watching %s: %w", w.where(), err)
}

// endingMark comes before the name of a slice in the key of its terminating endpoints.
// No name has it. It sorts behind all names, so that an address which is ready in one
// slice and terminating in another is ready.
const endingMark = "~"

// view is what one Watch knows of the Service.
type view struct {
	*client
	report func([]discovery.Endpoint)

	slices map[string]*slice // by name
	size   int               // in bytes, of all of them
	set    *discovery.Set
	served int   // endpoints in the last report
	warned error // the last warning
}

func newView(c *client, report func([]discovery.Endpoint)) *view {
	v := &view{client: c, report: report, warned: errors.New("of an earlier Watch, perhaps")}
	skipped := func(key string, err error) {
		if c.onSkipped != nil {
			c.onSkipped(strings.TrimPrefix(key, endingMark), err)
		}
	}
	v.set = discovery.NewSet(v.decode, skipped)
	v.set.Admit(c.admission)
	v.set.Select(c.pick)
	return v
}

// decode is the set's decoder: the slices have been read.
func (v *view) decode(key string, _ []byte) ([]discovery.Endpoint, error) {
	if name, ok := strings.CutPrefix(key, endingMark); ok {
		return v.slices[name].ending, nil
	}
	s := v.slices[key]
	return s.ready, errors.Join(s.noPort, s.err)
}

// entries yields the slices as the entries of a set.
func (v *view) entries() iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for name, s := range v.slices {
			if !yield(name, []byte(s.version)) || len(s.ending) > 0 && !yield(endingMark+name, []byte(s.version)) {
				return
			}
		}
	}
}

// replace replaces all slices.
func (v *view) replace(all map[string]*slice) {
	v.slices, v.size = all, 0
	for _, s := range all {
		v.size += s.size
	}
	v.set.Replace(v.entries())
}

// put adds or changes a slice.
func (v *view) put(name string, s *slice) {
	v.forget(name)
	v.slices[name] = s
	v.size += s.size
	v.set.Put(name, []byte(s.version))
	if len(s.ending) > 0 {
		v.set.Put(endingMark+name, []byte(s.version))
	} else {
		v.set.Delete(endingMark + name)
	}
}

// remove removes a slice.
func (v *view) remove(name string) {
	v.set.Delete(name)
	v.set.Delete(endingMark + name)
	v.forget(name)
}

// forget removes a slice but for what the set has of it.
func (v *view) forget(name string) {
	if s := v.slices[name]; s != nil {
		v.size -= s.size
		delete(v.slices, name)
	}
}

// tell reports the set if it has changed, and what a user should know of it. The error
// says why the set is in doubt: none of the slices with endpoints has the port.
func (v *view) tell(ctx context.Context) error {
	if v.size > maxAnswer { // little by little; a list is bounded as it is read
		return discovery.Permanent(fmt.Errorf("the slices of the Service %s/%s have more than %d bytes", v.namespace, v.service, maxAnswer))
	}
	if err := v.noPort(); err != nil {
		return discovery.Permanent(err)
	}
	report := func() {
		v.set.Report(func(set []discovery.Endpoint) {
			v.served = len(set)
			v.report(set)
		})
	}
	if len(v.slices) == 0 { // the reason comes before the empty set, and needs a request
		v.warn(ctx)
		report()
		return nil
	}
	report()
	v.warn(ctx)
	return nil
}

// noPort returns why no slice has the port, if none of those with endpoints does.
func (v *view) noPort() (err error) {
	for _, s := range v.slices {
		switch {
		case s.noPort != nil:
			err = s.noPort
		case s.total > 0:
			return nil
		}
	}
	return err
}

// warn reports what a user should know of the slices.
func (v *view) warn(ctx context.Context) {
	err := errors.Join(v.emptiness(ctx), v.set.Warning())
	if ctx.Err() != nil || fmt.Sprint(err) == fmt.Sprint(v.warned) {
		return
	}
	v.warned = err
	discovery.ReportWarning(ctx, err)
}

// emptiness returns why there is no server, or none that is ready.
func (v *view) emptiness(ctx context.Context) error {
	total, other, ready := 0, 0, 0
	for _, s := range v.slices {
		total += s.total
		other += s.other
		ready += len(s.ready)
	}
	switch {
	case len(v.slices) == 0:
		return v.missing(ctx)
	case total == 0 && other > 0:
		return fmt.Errorf("all %d endpoints of the Service %s/%s are of another family than %s", other, v.namespace, v.service, v.family)
	case total == 0:
		return fmt.Errorf("the Service %s/%s has no endpoints: its selector matches no pod", v.namespace, v.service)
	case v.served == 0 && ready == 0:
		return fmt.Errorf("none of the %d endpoints of the Service %s/%s is ready", total, v.namespace, v.service)
	case ready == 0:
		return fmt.Errorf("none of the %d endpoints of the Service %s/%s is ready; those that terminate and still serve are used", total, v.namespace, v.service)
	case v.served == 0:
		return fmt.Errorf("%d endpoints of the Service %s/%s are ready, and none counts", ready, v.namespace, v.service)
	}
	return nil
}
