package discoverytest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// connectionRules are about the connection between a watcher and its registry.
func connectionRules() []rule {
	return []rule{
		{
			name:        "Cut",
			description: "when a watcher loses its connection, Watch goes on or returns an error, and reports no smaller set; later it reports what changed meanwhile",
			check:       checkCut,
		},
		{
			name:        "Unreachable",
			description: "a watcher that cannot reach the registry reports nothing, not even an empty set; when it can, it reports the complete set",
			check:       checkUnreachable,
		},
		{
			name:        "CutAtEveryByte",
			description: "when a connection ends before any byte of the first list, a watcher reports no part of the set, and then the complete set",
			check:       checkCutAtEveryByte,
		},
		{
			name:        "CancelHung",
			description: "Watch returns within 1 s of its context's end while the registry does not answer",
			check:       checkCancelHung,
		},
		{
			name:        "CancelCut",
			description: "Watch returns within 1 s of its context's end while the registry refuses connections",
			check:       checkCancelCut,
		},
	}
}

// retryWatcher calls Watch again whenever it returns, as the pool does. Its own
// Watch returns with the last of these calls.
type retryWatcher struct{ discovery.Watcher }

func (w retryWatcher) Watch(ctx context.Context, report func([]discovery.Endpoint)) error {
	for {
		ended := ctx.Err() != nil
		err := w.Watcher.Watch(ctx, report)
		switch {
		case ended || ctx.Err() != nil && errors.Is(err, ctx.Err()):
			return err
		case ctx.Err() != nil:
			// Watch may have failed just before the context ended. The next
			// call shows what Watch returns for an ended context.
		default:
			if err := waitQuiet(ctx); err != nil { // do not flood a registry that is down
				return err
			}
		}
	}
}

// openRetrying starts a watch with a new watcher that calls Watch again and
// again.
func (r *run) openRetrying(ctx context.Context) (*stream, error) {
	w, err := r.watcher()
	if err != nil {
		return nil, err
	}
	return r.watch(ctx, retryWatcher{w}, nil), nil
}

// openRetryingAt puts set into the registry, starts such a watch and waits for
// set.
func (r *run) openRetryingAt(ctx context.Context, set ...discovery.Endpoint) (*stream, error) {
	if err := r.put(ctx, set...); err != nil {
		return nil, err
	}
	s, err := r.openRetrying(ctx)
	if err != nil {
		return nil, err
	}
	return s, s.await(set)
}

// waitRetries waits for long enough that calls of a retryWatcher fail.
func waitRetries(ctx context.Context) error { return wait(ctx, 3*quietTime) }

func checkCut(ctx context.Context, r *run) error {
	s, err := r.openRetryingAt(ctx, eps(0, 3)...)
	if err != nil {
		return err
	}
	restore, err := r.cut(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(r.put(ctx, eps(1, 4)...), waitRetries(ctx), restore()); err != nil {
		return err
	}
	if err := s.await(eps(1, 4), eps(0, 3)); err != nil {
		return err
	}
	if err := r.putEach(ctx, s, eps(1, 4), slices.Concat(eps(1, 4), eps(7, 8))); err != nil {
		return err
	}
	return s.stop()
}

func checkUnreachable(ctx context.Context, r *run) error {
	if err := r.put(ctx, eps(0, 3)...); err != nil {
		return err
	}
	restore, err := r.cut(ctx)
	if err != nil {
		return err
	}
	s, err := r.openRetrying(ctx)
	if err != nil {
		return errors.Join(err, restore())
	}
	if err := waitRetries(ctx); err != nil {
		return errors.Join(err, restore())
	}
	if reports := s.state().reports; len(reports) > 0 {
		return errors.Join(fmt.Errorf("Watch reported %s", show(reports[0])), restore())
	}
	if err := restore(); err != nil {
		return err
	}
	if err := s.await(eps(0, 3)); err != nil {
		return err
	}
	return s.stop()
}

// checkCutAtEveryByte counts the bytes that the registry sends before the first
// report, and then cuts before each of them.
func checkCutAtEveryByte(ctx context.Context, r *run) error {
	const (
		listed = 3
		whole  = 50 // one of so many watches is followed to the complete set
	)
	if len(r.Proxies) == 0 {
		return missing("Proxies")
	}
	before := r.bytesFromServer()
	s, err := r.openRetryingAt(ctx, eps(0, listed)...)
	if err != nil {
		return err
	}
	bytes := r.bytesFromServer() - before
	if err := s.stop(); err != nil {
		return err
	}
	r.logf("the registry sends %d bytes before the first report", bytes)
	for n := range bytes {
		err := r.cutOnce(ctx, n, eps(0, listed), n%whole == 0)
		if err = errors.Join(err, r.healProxies()); err != nil {
			return fmt.Errorf("cut before byte %d of %d: %w", n+1, bytes, err)
		}
	}
	return nil
}

// cutOnce watches through proxies, each of which cuts after n bytes. It checks
// the reports until shortly after the first cut or, if toTheEnd, until the
// complete set.
func (r *run) cutOnce(ctx context.Context, n int64, set []discovery.Endpoint, toTheEnd bool) error {
	var cuts []<-chan struct{}
	for _, proxy := range r.Proxies {
		cuts = append(cuts, proxy.CutAfter(n))
	}
	s, err := r.openRetrying(ctx)
	if err != nil {
		return err
	}
	wasCut := func() bool {
		return slices.ContainsFunc(cuts, func(c <-chan struct{}) bool {
			select {
			case <-c:
				return true
			default:
				return false
			}
		})
	}
	if !r.poll(ctx, func() bool { return wasCut() || len(s.state().reports) > 0 }) {
		return errors.New("there was neither a cut nor a report")
	}
	if toTheEnd {
		err = s.await(set)
	} else if err = wait(ctx, quietTime/3); err == nil {
		err = s.verify(set)
	}
	if err != nil {
		return err
	}
	return s.stop()
}

func (r *run) bytesFromServer() (n int64) {
	for _, proxy := range r.Proxies {
		n += proxy.Traffic().FromServer
	}
	return n
}

func checkCancelHung(ctx context.Context, r *run) error { return checkCancelDuring(ctx, r, r.hang) }

func checkCancelCut(ctx context.Context, r *run) error { return checkCancelDuring(ctx, r, r.cut) }

// checkCancelDuring cancels two watches during a fault. One had started before
// the fault, the other one never gets an answer.
func checkCancelDuring(ctx context.Context, r *run, f fault) error {
	running, err := r.openRetryingAt(ctx, ep(0))
	if err != nil {
		return err
	}
	restore, err := f(ctx)
	if err != nil {
		return err
	}
	started, err := r.openRetrying(ctx)
	if err != nil {
		return errors.Join(err, restore())
	}
	if err := waitQuiet(ctx); err != nil { // until started waits for an answer
		return errors.Join(err, restore())
	}
	return errors.Join(running.stop(), started.stop(), restore())
}
