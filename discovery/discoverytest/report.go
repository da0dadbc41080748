package discoverytest

import (
	"context"
	"fmt"

	"github.com/minicaptain/multi_connection_pool/core"
)

// reportRules are about how report is called.
func reportRules() []rule {
	return []rule{
		{
			name:  "NotConcurrent",
			says:  "report is called from one goroutine: no call begins before the last one returned",
			check: checkNotConcurrent,
		},
		{
			name:  "SlowReceiver",
			says:  "a receiver that is slow holds up neither the registry nor another watch, and then gets the latest set",
			check: checkSlowReceiver,
		},
		{
			name:  "Burst",
			says:  "after a burst of changes the last report is the last set",
			check: checkBurst,
		},
		{
			name:  "NotAfterReturn",
			says:  "report is never called after Watch returned",
			check: checkNotAfterReturn,
		},
		{
			name:  "ReceiverOwnsSlice",
			says:  "the slice given to report is the receiver's: changing it harms no other watch, and no later one",
			check: checkReceiverOwnsSlice,
		},
		{
			name:  "ReceiverOwnsSliceOfChange",
			says:  "the slice given to report is the receiver's: changing it harms no later report",
			check: checkReceiverOwnsSliceOfChange,
		},
		{
			name:  "Independent",
			says:  "two watchers of one place are independent: ending one leaves the other working",
			check: checkIndependent,
		},
	}
}

// openHeld begins a watch whose first report does not return before release
// is called or the case has ended.
func openHeld(ctx context.Context, x *exam) (s *session, release func(), err error) {
	w, err := x.watcher()
	if err != nil {
		return nil, nil, err
	}
	held, release := context.WithCancel(ctx)
	s = x.watch(ctx, w, func([]core.Endpoint) { <-held.Done() })
	return s, release, s.begun()
}

// follow changes the registry to each of the sets and waits until s, which saw
// the first, has seen it. It is how a check knows that the news is out.
func follow(ctx context.Context, x *exam, s *session, sets ...[]core.Endpoint) error {
	for i, set := range sets[1:] {
		if err := x.put(ctx, set...); err != nil {
			return err
		}
		if err := s.await(set, sets[i]); err != nil {
			return err
		}
	}
	return nil
}

func checkNotConcurrent(ctx context.Context, x *exam) error {
	witness, err := x.openAt(ctx, ep(0))
	if err != nil {
		return err
	}
	s, release, err := openHeld(ctx, x)
	if err != nil {
		return err
	}
	defer release()
	if err := follow(ctx, x, witness, eps(0, 1), eps(0, 2), eps(0, 3), eps(0, 4)); err != nil {
		return err
	}
	// A second call, if there is one, comes while the first is held.
	if err := rest(ctx); err != nil {
		return err
	}
	release()
	if err := s.settle(eps(0, 4), eps(0, 1)); err != nil {
		return err
	}
	return s.stop()
}

func checkSlowReceiver(ctx context.Context, x *exam) error {
	witness, err := x.openAt(ctx, ep(0))
	if err != nil {
		return err
	}
	s, release, err := openHeld(ctx, x)
	if err != nil {
		return err
	}
	defer release()
	sets := [][]core.Endpoint{eps(0, 1)}
	for i := range 30 {
		sets = append(sets, eps(i+1, i+2))
		if err := follow(ctx, x, witness, sets[i:]...); err != nil {
			return err
		}
		// The held watch may hear of it later than the witness.
		if err := wait(ctx, quiet/10); err != nil {
			return err
		}
	}
	release()
	if err := s.settle(sets[len(sets)-1], sets...); err != nil {
		return err
	}
	return s.stop()
}

func checkBurst(ctx context.Context, x *exam) error {
	s, err := x.openAt(ctx, ep(0))
	if err != nil {
		return err
	}
	var sets [][]core.Endpoint
	for i := range 100 {
		sets = append(sets, eps(i%7, i%7+i%5))
	}
	for _, set := range sets {
		if err := x.put(ctx, set...); err != nil {
			return err
		}
	}
	final := eps(3, 8)
	if err := x.put(ctx, final...); err != nil {
		return err
	}
	sets = append(sets, eps(0, 1))
	if err := s.settle(final, sets...); err != nil {
		return err
	}
	return s.stop()
}

// checkNotAfterReturn ends a watch at the moment of a change, many times.
// Session notes a report that comes too late.
func checkNotAfterReturn(ctx context.Context, x *exam) error {
	witness, err := x.openAt(ctx, ep(0))
	if err != nil {
		return err
	}
	before := eps(0, 1)
	var stopped []*session
	for i := range 20 {
		s, err := x.open(ctx)
		if err != nil {
			return err
		}
		if err := s.begun(); err != nil {
			return err
		}
		next := eps(i, i+2)
		changed := make(chan error, 1)
		go func() { changed <- x.put(ctx, next...) }() // waited for below
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
	if err := rest(ctx); err != nil {
		return err
	}
	for _, s := range stopped {
		if err := s.view().breach; err != nil {
			return err
		}
	}
	return witness.stop()
}

// spoil overwrites a reported slice, and the room behind its last entry.
func spoil(set []core.Endpoint) {
	set = set[:cap(set)]
	for i := range set {
		set[i] = core.Endpoint{Addr: "spoilt:1"}
	}
}

// checkReceiverOwnsSlice looks whether spoilt endpoints come back in another
// watch or in the same watcher's next one.
func checkReceiverOwnsSlice(ctx context.Context, x *exam) error {
	if err := x.put(ctx, eps(0, 3)...); err != nil {
		return err
	}
	w, err := x.watcher()
	if err != nil {
		return err
	}
	s := x.watch(ctx, w, spoil)
	if err := s.await(eps(0, 3)); err != nil {
		return err
	}
	other, err := x.open(ctx)
	if err != nil {
		return err
	}
	if err := other.await(eps(0, 3)); err != nil {
		return fmt.Errorf("another watch: %w", err)
	}
	if err := s.stop(); err != nil {
		return err
	}
	again := x.watch(ctx, w, spoil)
	if err := again.await(eps(0, 3)); err != nil {
		return fmt.Errorf("the next watch: %w", err)
	}
	return again.stop()
}

// checkReceiverOwnsSliceOfChange looks whether they come back in the same
// watch's next report.
func checkReceiverOwnsSliceOfChange(ctx context.Context, x *exam) error {
	if err := x.put(ctx, eps(0, 3)...); err != nil {
		return err
	}
	w, err := x.watcher()
	if err != nil {
		return err
	}
	s := x.watch(ctx, w, spoil)
	if err := s.await(eps(0, 3)); err != nil {
		return err
	}
	if err := follow(ctx, x, s, eps(0, 3), eps(0, 5), eps(1, 4)); err != nil {
		return err
	}
	return s.stop()
}

// checkIndependent ends one of two watches. Then the other sees the next
// change, and a newcomer, which does not depend on the one that went, sees it
// too.
func checkIndependent(ctx context.Context, x *exam) error {
	a, err := x.openAt(ctx, eps(0, 2)...)
	if err != nil {
		return err
	}
	b, err := x.open(ctx)
	if err != nil {
		return err
	}
	if err := b.await(eps(0, 2)); err != nil {
		return err
	}
	if err := a.stop(); err != nil {
		return err
	}
	if err := follow(ctx, x, b, eps(0, 2), eps(1, 3)); err != nil {
		return err
	}
	c, err := x.open(ctx)
	if err != nil {
		return err
	}
	if err := c.await(eps(1, 3)); err != nil {
		return err
	}
	if err := b.stop(); err != nil {
		return err
	}
	return follow(ctx, x, c, eps(1, 3), eps(0, 3))
}
