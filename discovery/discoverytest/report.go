package discoverytest

import (
	"context"
	"fmt"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// reportRules are about the calls of report.
func reportRules() []rule {
	return []rule{
		{
			name:        "NotConcurrent",
			description: "a watcher calls report from one goroutine: no call starts before the last one has returned",
			check:       checkNotConcurrent,
		},
		{
			name:        "SlowReceiver",
			description: "a slow receiver blocks neither the registry nor another watch, and then gets the latest set",
			check:       checkSlowReceiver,
		},
		{
			name:        "Burst",
			description: "after a burst of changes the last report is the last set",
			check:       checkBurst,
		},
		{
			name:        "NotAfterReturn",
			description: "a watcher does not call report after Watch returned",
			check:       checkNotAfterReturn,
		},
		{
			name:        "ReceiverOwnsSlice",
			description: "the receiver may change the reported slice: another watch and a later one are not affected",
			check:       checkReceiverOwnsSlice,
		},
		{
			name:        "ReceiverOwnsSliceOfChange",
			description: "the receiver may change the reported slice: a later report is not affected",
			check:       checkReceiverOwnsSliceOfChange,
		},
		{
			name:        "Independent",
			description: "two watchers of one service are independent: when one stops, the other goes on",
			check:       checkIndependent,
		},
	}
}

// openHeld starts a watch whose first report returns only after release, or at
// the end of the case.
func (r *run) openHeld(ctx context.Context) (s *stream, release func(), err error) {
	w, err := r.watcher()
	if err != nil {
		return nil, nil, err
	}
	held, release := context.WithCancel(ctx)
	s = r.watch(ctx, w, func([]discovery.Endpoint) { <-held.Done() })
	return s, release, s.awaitFirst()
}

// checkNotConcurrent uses a witness, another watch, to know when a change has
// reached the watchers.
func checkNotConcurrent(ctx context.Context, r *run) error {
	witness, err := r.openAt(ctx, ep(0))
	if err != nil {
		return err
	}
	s, release, err := r.openHeld(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := r.putEach(ctx, witness, eps(0, 1), eps(0, 2), eps(0, 3), eps(0, 4)); err != nil {
		return err
	}
	// A second call, if there is one, comes while the first is held.
	if err := waitQuiet(ctx); err != nil {
		return err
	}
	release()
	if err := s.settle(eps(0, 4), eps(0, 1)); err != nil {
		return err
	}
	return s.stop()
}

func checkSlowReceiver(ctx context.Context, r *run) error {
	witness, err := r.openAt(ctx, ep(0))
	if err != nil {
		return err
	}
	s, release, err := r.openHeld(ctx)
	if err != nil {
		return err
	}
	defer release()
	sets := [][]discovery.Endpoint{eps(0, 1)}
	for i := range 30 {
		sets = append(sets, eps(i+1, i+2))
		if err := r.putEach(ctx, witness, sets[i:]...); err != nil {
			return err
		}
		// The change may reach the held watch later than the witness.
		if err := wait(ctx, quietTime/10); err != nil {
			return err
		}
	}
	release()
	if err := s.settle(sets[len(sets)-1], sets...); err != nil {
		return err
	}
	return s.stop()
}

func checkBurst(ctx context.Context, r *run) error {
	s, err := r.openAt(ctx, ep(0))
	if err != nil {
		return err
	}
	var sets [][]discovery.Endpoint
	for i := range 100 {
		sets = append(sets, eps(i%7, i%7+i%5))
	}
	for _, set := range sets {
		if err := r.put(ctx, set...); err != nil {
			return err
		}
	}
	final := eps(3, 8)
	if err := r.put(ctx, final...); err != nil {
		return err
	}
	sets = append(sets, eps(0, 1))
	if err := s.settle(final, sets...); err != nil {
		return err
	}
	return s.stop()
}

// checkNotAfterReturn stops a watch during a change, many times. The stream
// detects a report that comes too late.
func checkNotAfterReturn(ctx context.Context, r *run) error {
	witness, err := r.openAt(ctx, ep(0))
	if err != nil {
		return err
	}
	before := eps(0, 1)
	var stopped []*stream
	for i := range 20 {
		s, err := r.open(ctx)
		if err != nil {
			return err
		}
		if err := s.awaitFirst(); err != nil {
			return err
		}
		next := eps(i, i+2)
		changed := make(chan error, 1)
		go func() { changed <- r.put(ctx, next...) }() // waited for below
		err = s.stop()
		if perr := <-changed; perr != nil {
			return perr
		}
		if err != nil {
			return err
		}
		if err := witness.await(next, before); err != nil {
			return err
		}
		before = next
		stopped = append(stopped, s)
	}
	if err := waitQuiet(ctx); err != nil {
		return err
	}
	for _, s := range stopped {
		if err := s.state().violation; err != nil {
			return err
		}
	}
	return witness.stop()
}

// overwrite changes all elements of a reported slice, up to its capacity.
func overwrite(set []discovery.Endpoint) {
	set = set[:cap(set)]
	for i := range set {
		set[i] = discovery.Endpoint{Addr: "overwritten:1"}
	}
}

// checkReceiverOwnsSlice checks that overwritten endpoints do not come back in
// another watch, or in the next watch of the same watcher.
func checkReceiverOwnsSlice(ctx context.Context, r *run) error {
	if err := r.put(ctx, eps(0, 3)...); err != nil {
		return err
	}
	w, err := r.watcher()
	if err != nil {
		return err
	}
	s := r.watch(ctx, w, overwrite)
	if err := s.await(eps(0, 3)); err != nil {
		return err
	}
	other, err := r.open(ctx)
	if err != nil {
		return err
	}
	if err := other.await(eps(0, 3)); err != nil {
		return fmt.Errorf("another watch: %w", err)
	}
	if err := s.stop(); err != nil {
		return err
	}
	again := r.watch(ctx, w, overwrite)
	if err := again.await(eps(0, 3)); err != nil {
		return fmt.Errorf("the next watch: %w", err)
	}
	return again.stop()
}

// checkReceiverOwnsSliceOfChange checks that overwritten endpoints do not come
// back in the next report of the same watch.
func checkReceiverOwnsSliceOfChange(ctx context.Context, r *run) error {
	if err := r.put(ctx, eps(0, 3)...); err != nil {
		return err
	}
	w, err := r.watcher()
	if err != nil {
		return err
	}
	s := r.watch(ctx, w, overwrite)
	if err := s.await(eps(0, 3)); err != nil {
		return err
	}
	if err := r.putEach(ctx, s, eps(0, 3), eps(0, 5), eps(1, 4)); err != nil {
		return err
	}
	return s.stop()
}

// checkIndependent stops one of two watches. The other one and a new one have
// to report the next change.
func checkIndependent(ctx context.Context, r *run) error {
	a, err := r.openAt(ctx, eps(0, 2)...)
	if err != nil {
		return err
	}
	b, err := r.open(ctx)
	if err != nil {
		return err
	}
	if err := b.await(eps(0, 2)); err != nil {
		return err
	}
	if err := a.stop(); err != nil {
		return err
	}
	if err := r.putEach(ctx, b, eps(0, 2), eps(1, 3)); err != nil {
		return err
	}
	c, err := r.open(ctx)
	if err != nil {
		return err
	}
	if err := c.await(eps(1, 3)); err != nil {
		return err
	}
	if err := b.stop(); err != nil {
		return err
	}
	return r.putEach(ctx, c, eps(1, 3), eps(0, 3))
}
