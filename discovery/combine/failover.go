package combine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

type failover struct {
	origin
	primary, secondary discovery.Watcher
	after              time.Duration
}

// Failover watches primary. Once primary has been lost, or has not reported at
// all, for the time after, Failover watches secondary too and uses its sets; zero
// means at once. Until then the last set counts. When primary reports again, its
// set counts at once, and the watch of secondary ends. If both are lost, Watch
// returns their errors. A change from one to the other does not count as the
// program's own decision.
func Failover(primary, secondary discovery.Watcher, after time.Duration) discovery.Watcher {
	return &failover{primary: primary, secondary: secondary, after: after}
}

// String names the places of both watchers.
func (f *failover) String() string { return places(" or else ", f.primary, f.secondary) }

func (f *failover) Validate() error {
	var err error
	if f.after < 0 {
		err = fmt.Errorf("combine: Failover after %v: must not be negative", f.after)
	}
	return errors.Join(err, validate(f.primary, f.secondary))
}

func (f *failover) Watch(ctx context.Context, report func([]discovery.Endpoint)) error {
	if err := f.Validate(); err != nil {
		return err
	}
	g := newGroup()
	defer g.running.Wait()
	inner, cancel := context.WithCancel(ctx)
	defer cancel()

	primary := g.follow(inner, f.primary)
	using := primary
	use := func(x *follower, s status) {
		// That another watcher is in use now is not the program's decision.
		f.report(report, s.set, s.own && x == using)
		using = x
	}
	var secondary *follower // nil while it is not needed
	for {
		p := primary.status()
		var due <-chan time.Time
		stop := func() {}
		if p.fresh {
			if secondary != nil {
				secondary.stop()
				secondary = nil
			}
			use(primary, p)
		}
		switch {
		case p.live:
		case secondary == nil:
			if left := time.Until(p.since.Add(f.after)); left > 0 {
				t := time.NewTimer(left)
				due, stop = t.C, func() { t.Stop() }
				break
			}
			secondary = g.follow(inner, f.secondary)
		default:
			s := secondary.status()
			if s.fresh {
				use(secondary, s)
			}
			if p.err != nil && s.err != nil {
				return errors.Join(fmt.Errorf("combine: primary: %w", p.err), fmt.Errorf("combine: secondary: %w", s.err))
			}
		}
		select {
		case <-ctx.Done():
		case <-g.news:
		case <-due:
		}
		stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}
