package discovery

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

const (
	// Patience is for how long [Persist] tries before it tells of a trouble.
	Patience = 10 * time.Second
	// firstPause and longestPause bound the random pause between two tries of
	// Persist: short, so that a registry that is back is seen within a second.
	firstPause   = 100 * time.Millisecond
	longestPause = time.Second
)

// Persist calls try, again after a random pause of up to a second whenever it
// fails, until ctx is done; then it returns the error of ctx. It is what a
// plugin's Watch and Register consist of: short troubles of a registry are got
// over inside, and told are those that last.
//
// try calls well when the registry has done what it was asked for. Once
// [Patience] has passed without that, Persist returns the last error, and an
// error made by [Permanent] at once.
func Persist(ctx context.Context, try func(ctx context.Context, well func()) error) error {
	bound, troubled := firstPause, time.Now()
	for ctx.Err() == nil {
		begun, good := time.Now(), false
		err := try(ctx, func() { good = true })
		if ctx.Err() != nil {
			break
		}
		if err == nil {
			err = errors.New("discovery: it ended without an error")
		}
		now := time.Now()
		if good {
			troubled = now
		}
		if errors.As(err, new(*permanent)) || now.Sub(troubled) >= Patience {
			return err
		}
		if good && now.Sub(begun) >= longestPause { // what breaks at once each time is no recovery
			bound = firstPause
		}
		pause := time.NewTimer(rand.N(bound))
		bound = min(2*bound, longestPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
	return ctx.Err()
}

type permanent struct{ error }

func (p *permanent) Unwrap() error { return p.error }

// Permanent marks err, which must not be nil, as one that trying again soon
// does not help against: wrong credentials, a name that cannot be. It reads as
// before.
func Permanent(err error) error { return &permanent{err} }

// Deregister calls remove, which removes a registrar's entry, with a context
// that outlives ctx by [DeregisterTimeout]; again after a short pause while it
// fails. It returns nil once remove has, else the last error.
func Deregister(ctx context.Context, remove func(context.Context) error) error {
	const pause = 50 * time.Millisecond
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), DeregisterTimeout)
	defer cancel()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		err := remove(ctx)
		if err == nil || errors.As(err, new(*permanent)) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}
