package static

import (
	"context"
	"slices"
	"sync"

	"github.com/minicaptain/multi_connection_pool/core"
)

// List is a set of servers that the program sets, for tests and for sources
// that have no watcher of their own. Any number of Watches may run at a time;
// each sees the latest set, and one that is slow skips those in between. It is
// safe for concurrent use. The zero List is empty and ready to use.
type List struct {
	mu  sync.Mutex
	now version
}

// version is one set and the news that there is a later one.
type version struct {
	set []core.Endpoint
	err error
	// replaced is closed by the Set that ends this version. It is made when
	// the first watch wants to wait, so that the zero List works.
	replaced chan struct{}
}

// NewList returns a list that holds eps, which may be none. It keeps a copy.
// Bad entries are found by Validate.
func NewList(eps ...core.Endpoint) *List {
	return &List{now: version{set: deepCopy(eps), err: validate(eps)}}
}

// Set makes eps the complete set; without eps the list is empty. It keeps a
// copy, and never waits for a watch. When an entry cannot be dialed or is
// listed twice, Set returns an error that names it, and the list stays as it
// was.
func (l *List) Set(eps ...core.Endpoint) error {
	if err := validate(eps); err != nil {
		return err
	}
	next := version{set: deepCopy(eps)}

	l.mu.Lock()
	old := l.now
	l.now = next
	l.mu.Unlock()

	// No watch can have this channel and miss the new set: it was taken
	// together with the old one, and is waited on afterwards.
	if old.replaced != nil {
		close(old.replaced)
	}
	return nil
}

// Validate names each entry that NewList was given and that cannot be dialed
// or is listed twice, until a Set replaced them.
func (l *List) Validate() error { return l.current().err }

// Watch reports the set and then each later one, until ctx is done. A list
// that Validate rejects is not reported: Watch returns that error at once.
func (l *List) Watch(ctx context.Context, report func([]core.Endpoint)) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		now := l.current()
		if now.err != nil {
			return now.err
		}
		report(slices.Clone(now.set))
		select {
		case <-now.replaced:
		case <-ctx.Done():
		}
	}
}

func (l *List) current() version {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now.replaced == nil {
		l.now.replaced = make(chan struct{})
	}
	return l.now
}
