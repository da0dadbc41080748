package discovery

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/minicaptain/multi_connection_pool/internal/brief"
)

const (
	// RetryWindow is how long [Retry] tries without success before it returns
	// the error.
	RetryWindow = 10 * time.Second
	// retryMin and retryMax bound the random pause between two tries of Retry:
	// short, so that a registry that is back is seen within a second.
	retryMin = 100 * time.Millisecond
	retryMax = time.Second
)

// retrying is the key of the function that a context has for ReportFailure.
type retrying struct{}

// withRetrying returns a context under which ReportFailure calls f.
func withRetrying(ctx context.Context, f func(error)) context.Context {
	return context.WithValue(ctx, retrying{}, f)
}

// ReportFailure passes err on to whom waits for a set or a registration, while the
// Watch or Register with this context goes on: see [Follower.Retrying] and
// [Registration.Wait]. [Retry] does so with each failure of a try. A plugin does
// where a try itself outlasts failures.
func ReportFailure(ctx context.Context, err error) {
	if f, ok := ctx.Value(retrying{}).(func(error)); ok {
		f(brief.Error(err))
	}
}

// Retry calls try, again after a random pause of up to a second whenever it
// fails, until ctx is done; then it returns the error of ctx. A plugin's Watch
// and Register consist of it: short failures of a registry stay inside, and
// those that last are returned.
//
// try calls healthy when the registry has done what it was asked for. Once
// [RetryWindow] has passed without that, Retry returns the last error. It
// returns an error made by [Permanent] at once, and passes the others on by
// [ReportFailure].
func Retry(ctx context.Context, try func(ctx context.Context, healthy func()) error) error {
	bound, failingSince := retryMin, time.Now()
	for ctx.Err() == nil {
		begun, succeeded := time.Now(), false
		err := try(ctx, func() { succeeded = true })
		if ctx.Err() != nil {
			break
		}
		if err == nil {
			err = errors.New("discovery: the try returned without an error")
		}
		now := time.Now()
		if succeeded {
			failingSince = now
		}
		if errors.As(err, new(*permanent)) || now.Sub(failingSince) >= RetryWindow {
			return err
		}
		ReportFailure(ctx, err)
		if succeeded && now.Sub(begun) >= retryMax { // what breaks at once each time has not recovered
			bound = retryMin
		}
		_ = sleep(ctx, rand.N(bound))
		bound = min(2*bound, retryMax)
	}
	return ctx.Err()
}

type permanent struct{ error }

func (p *permanent) Unwrap() error { return p.error }

// Permanent marks err, which must not be nil, as one that another try soon does
// not help against: wrong credentials, a name that cannot be. Its text stays as
// it is.
func Permanent(err error) error { return &permanent{err} }

// Deregister calls remove, which removes a registrar's entry, again after a
// short pause while it fails. The context of remove outlives ctx by
// [DeregisterTimeout]. Deregister returns nil once remove has, else the last
// error.
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
