package combine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

type failover struct {
	primary, secondary core.Watcher
	after              time.Duration
}

// Failover watches primary, and secondary while primary has been lost, or has
// not reported at all, for the time after: zero is at once. Until then the last
// set counts. When primary reports again it counts at once, and secondary is
// watched no more. The loss of both is returned.
func Failover(primary, secondary core.Watcher, after time.Duration) core.Watcher {
	return failover{primary, secondary, after}
}

func (f failover) Validate() error {
	var err error
	if f.after < 0 {
		err = fmt.Errorf("combine: failover after %v: must not be negative", f.after)
	}
	return errors.Join(err, validate(f.primary, f.secondary))
}

func (f failover) Watch(ctx context.Context, report func([]core.Endpoint)) error {
	if err := f.Validate(); err != nil {
		return err
	}
	g := newGroup()
	defer g.running.Wait()
	inner, cancel := context.WithCancel(ctx)
	defer cancel()

	report = changes(report)
	primary := g.follow(inner, f.primary)
	var secondary *follower // nil while it is not needed
	for {
		p := primary.status()
		var patience <-chan time.Time
		stop := func() {}
		switch {
		case p.live:
			if secondary != nil {
				secondary.stop()
				secondary = nil
			}
			report(p.set)
		case secondary == nil:
			if left := time.Until(p.since.Add(f.after)); left > 0 {
				t := time.NewTimer(left)
				patience, stop = t.C, func() { t.Stop() }
				break
			}
			secondary = g.follow(inner, f.secondary)
		default:
			s := secondary.status()
			switch {
			case s.live:
				report(s.set)
			case p.err != nil && s.err != nil:
				return errors.Join(fmt.Errorf("combine: primary: %w", p.err), fmt.Errorf("combine: secondary: %w", s.err))
			}
		}
		select {
		case <-ctx.Done():
		case <-g.news:
		case <-patience:
		}
		stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}
