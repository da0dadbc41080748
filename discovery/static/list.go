package static

import (
	"context"
	"slices"
	"sync"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// List is a watcher of a set that the program sets, for tests and for sources
// without a watcher. Any number of Watches may run at a time. Each reports the
// latest set; one that is slow skips those in between. A List is safe for
// concurrent use. The zero List is empty and ready to use.
type List struct {
	mu  sync.Mutex
	now version
}

// version is one set, and how its watches learn of the next one.
type version struct {
	set []discovery.Endpoint
	err error
	// replaced is closed by the Set that ends this version. The first watch makes
	// it, so that the zero List works.
	replaced chan struct{}
}

// NewList returns a list of eps, of which it keeps a copy. Validate reports the
// mistakes in them.
func NewList(eps ...discovery.Endpoint) *List {
	return &List{now: version{set: deepCopy(eps), err: validate(eps)}}
}

// Set makes eps the complete set; without eps the list is empty. It keeps a copy
// and never waits for a watch. If an entry is not valid or is listed twice, Set
// returns an error that names it, and the list stays as it was. What Set removes
// is out of use at once, see [List.Authoritative].
func (l *List) Set(eps ...discovery.Endpoint) error {
	if err := validate(eps); err != nil {
		return err
	}
	next := version{set: deepCopy(eps)}

	l.mu.Lock()
	old := l.now
	l.now = next
	l.mu.Unlock()

	// No watch misses the new set: a watch takes this channel together with the old
	// set, and waits for it afterwards.
	if old.replaced != nil {
		close(old.replaced)
	}
	return nil
}

// Validate returns an error that names each entry of NewList that is not valid or
// is listed twice, until Set replaces them.
func (l *List) Validate() error { return l.current().err }

// Authoritative returns true: every set is the program's own decision. It is for
// [discovery.Follow], which applies no removal grace to such a set.
func (l *List) Authoritative() bool { return true }

// Watch reports the set and then each later one, until ctx is done. If Validate
// returns an error, Watch returns it at once and reports nothing.
func (l *List) Watch(ctx context.Context, report func([]discovery.Endpoint)) error {
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
