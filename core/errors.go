package core

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// The errors that callers branch on. All of them match with errors.Is; those
// of Get and Do carry an [*Error] with the details, and match the context's
// error too where the context ended the wait.
var (
	// ErrClosed means that the pool is closed.
	ErrClosed = errors.New("core: pool is closed")
	// ErrNoEndpoint means that the set of endpoints is empty, was not known in time, or
	// does not hold the endpoint that the call named.
	ErrNoEndpoint = errors.New("core: no endpoint")
	// ErrExhausted means that every connection was leased and no more may be opened.
	ErrExhausted = errors.New("core: every connection is in use")
	// ErrUnavailable means that there are endpoints, and none of them could be dialed.
	ErrUnavailable = errors.New("core: no endpoint could be dialed")
	// ErrStaleLease means that the lease was ended before. The connection is untouched.
	ErrStaleLease = errors.New("core: the lease has ended already")
)

// Error says why a call got no connection, and in what state the pool was.
type Error struct {
	// Kind is ErrClosed, ErrNoEndpoint, ErrExhausted or ErrUnavailable; or the
	// context's error if that had ended before the call looked at anything.
	Kind error
	// Cause is the context's error if that ended the wait, else nil. Both match the
	// context's cause too, see [context.Cause].
	Cause error
	// LastDial is the last dial's error of the endpoints concerned, LastWatch
	// that of the watcher; nil when there was none.
	LastDial, LastWatch error
	// Endpoint is the address that the call asked for; empty for any.
	Endpoint string
	// State is what the pool knew of its set.
	State State
	// Waited is how long the call had waited for a connection.
	Waited time.Duration
	// place is what the watcher watches, since how long State has lasted, and warning
	// what the registry has instead of servers, where there is no endpoint. All may be
	// zero.
	place   string
	since   time.Duration
	warning error
	// advice is a command that finds the cause of what LastWatch or an empty set is.
	advice string
	// counts are of endpoints, their connections, and the calls that were
	// waiting, this one included.
	counts struct{ endpoints, open, idle, dialing, waiting int }
}

// Error says the kind, the cause, which place has been empty or unknown for how
// long and what is there instead of servers, how many endpoints, connections and waiting calls there were, and the last
// errors.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Kind.Error())
	if e.Endpoint != "" {
		fmt.Fprintf(&b, " (wanted %s)", e.Endpoint)
	}
	if e.Cause != nil {
		fmt.Fprintf(&b, ": %v after %v", e.Cause, e.Waited.Round(time.Microsecond))
	}
	state := string(cmp.Or(e.State, StatePending))
	if e.since > 0 {
		state += " for " + e.since.Round(time.Millisecond).String()
	}
	if e.place != "" {
		state += ": " + e.place
	}
	fmt.Fprintf(&b, "; %s, %d endpoints, %d connections open, %d idle, %d dialing, %d calls waiting",
		state, e.counts.endpoints, e.counts.open, e.counts.idle, e.counts.dialing, e.counts.waiting)
	if e.LastDial != nil {
		fmt.Fprintf(&b, "; last dial: %v", e.LastDial)
	}
	if e.warning != nil {
		fmt.Fprintf(&b, "; warning: %v", e.warning)
	}
	if e.LastWatch != nil {
		fmt.Fprintf(&b, "; last watch: %v", e.LastWatch)
	}
	if e.advice != "" {
		fmt.Fprintf(&b, "; to find the cause: %s", e.advice)
	}
	return b.String()
}

// Unwrap returns the kind, the cause and the last errors, except for those of
// contexts: a dial that was cut short says nothing of the call's own context.
func (e *Error) Unwrap() []error {
	errs := []error{e.Kind}
	if e.Cause != nil {
		errs = append(errs, e.Cause)
	}
	for _, err := range []error{e.LastDial, e.LastWatch} {
		if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
			errs = append(errs, err)
		}
	}
	return errs
}
