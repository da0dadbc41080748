package discovery

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

const (
	// massRemoval is the share of the last report whose removal at once is doubted.
	massRemoval = 0.5
	// replacing is how long an endpoint may be missing whose server restarts and
	// registers by deleting its entry and creating it again: many times the round
	// trip between the two, and soon enough for a server that leaves.
	replacing = 100 * time.Millisecond
	// settling is for how long after a failure of the registry vanished endpoints
	// are kept: registrations may have ended meanwhile, and registrars, who try
	// for [RetryWindow] with pauses as the watcher does, may be back later than it.
	settling = RetryWindow
)

// tracker turns reports into changes of the set in use. A registry of thousands
// of servers changes by one or two at a time: what two reports begin and end
// with is compared and then left alone.
type tracker struct {
	grace    time.Duration
	max      int // endpoints that count; zero means any number
	rejected func(Endpoint, error)
	failed   time.Time // the registry's last failure

	last []Endpoint // the last report, as it is
	// dropped are the indices of the entries of last that do not count,
	// ascending. crowded: some of them would count but for another entry, which
	// has the same address or is before them in a set that is full.
	dropped []int
	crowded bool
	valid   []Endpoint          // last without dropped
	present map[string]struct{} // the addresses of valid
	most    int                 // the largest size of present

	// kept are the endpoints in use that last does not name any more, in the
	// order in which they vanished, and keptAt the same by address. deadline is
	// when the first grace is over.
	kept     []*kept
	keptAt   map[string]*kept
	deadline time.Time
}

// kept is an endpoint that is kept in use until its grace is over.
type kept struct {
	Endpoint

	until time.Time
}

// update makes next, if there is one, the last report, and returns how the set
// in use changes by that and by the time. It keeps the report, which nobody may
// modify.
func (t *tracker) update(next *report, now time.Time) (c Change, differs bool) {
	over := func(until time.Time) bool { return !now.Before(until) }
	if next != nil {
		t.take(next.set, now, &c)
		if next.authoritative { // nothing is kept
			over = func(time.Time) bool { return true }
		}
	}
	t.release(over, &c)
	c.Set = slices.Clip(t.valid)
	if len(t.kept) > 0 {
		c.Set = slices.Grow(c.Set, len(t.kept)) // a copy
		for _, k := range t.kept {
			c.Set = append(c.Set, k.Endpoint)
		}
	}
	return c, len(c.Added)+len(c.Updated)+len(c.Removed) > 0
}

// take makes set the last report.
func (t *tracker) take(set []Endpoint, now time.Time, c *Change) {
	from, oldEnd, newEnd := middle(t.last, set)
	if max(oldEnd, newEnd) == from { // nothing differs
		return
	}
	gone := make(map[string]*Endpoint, oldEnd-from) // endpoints of last that set may not have
	t.forget(from, oldEnd, gone)
	if t.crowded || t.hasAny(set[from:newEnd]) {
		// Whether an entry outside of what differs counts may have changed.
		from, oldEnd, newEnd = 0, len(t.last), len(set)
		t.forget(from, oldEnd, gone)
		t.crowded = false
	}
	dropped, after := t.droppedOutside(from, oldEnd, newEnd)
	t.expect(newEnd-from, len(gone), c)
	excess := 0
	for i := from; i < newEnd; i++ {
		if err := t.check(&set[i]); err != nil {
			dropped = append(dropped, i)
			if !errors.Is(err, errTooMany) || excess == 0 { // the others are like the first
				t.reject(set[i], err)
			}
			if errors.Is(err, errTooMany) {
				excess++
			}
			continue
		}
		t.add(&set[i], gone, c)
	}
	hold := t.hold(now, float64(len(gone)) > massRemoval*float64(len(t.valid)))
	for i := from; i < oldEnd && len(gone) > 0; i++ {
		e := &t.last[i]
		if gone[e.Addr] != e {
			continue
		}
		if hold > 0 && (t.max == 0 || len(t.keptAt) < t.max) {
			t.keep(*e, now.Add(hold))
		} else {
			c.Removed = append(c.Removed, *e)
		}
	}
	t.present = shrunk(t.present, &t.most)
	t.last, t.dropped = set, slices.Concat(dropped, after)
	t.valid = without(set, t.dropped)
}

// hold returns how long what vanishes now is kept.
func (t *tracker) hold(now time.Time, mass bool) time.Duration {
	if mass {
		return t.grace
	}
	return min(t.grace, max(replacing, settling-now.Sub(t.failed)))
}

// middle returns where two sets differ: they are alike before from, and behind
// the ends of what is between, oldEnd and newEnd.
func middle(old, set []Endpoint) (from, oldEnd, newEnd int) {
	oldEnd, newEnd = len(old), len(set)
	for from < oldEnd && from < newEnd && equal(&old[from], &set[from]) {
		from++
	}
	for oldEnd > from && newEnd > from && equal(&old[oldEnd-1], &set[newEnd-1]) {
		oldEnd--
		newEnd--
	}
	return from, oldEnd, newEnd
}

// forget moves the endpoints in last[from:to] that count from present to gone.
func (t *tracker) forget(from, to int, gone map[string]*Endpoint) {
	next, _ := slices.BinarySearch(t.dropped, from)
	for i := from; i < to; i++ {
		if next < len(t.dropped) && t.dropped[next] == i {
			next++
			continue
		}
		e := &t.last[i]
		delete(t.present, e.Addr)
		gone[e.Addr] = e
	}
}

func (t *tracker) hasAny(set []Endpoint) bool {
	return slices.ContainsFunc(set, func(e Endpoint) bool {
		_, ok := t.present[e.Addr]
		return ok
	})
}

// droppedOutside returns what is dropped before from, and behind oldEnd, where
// newEnd is in the next report.
func (t *tracker) droppedOutside(from, oldEnd, newEnd int) (before, after []int) {
	i, _ := slices.BinarySearch(t.dropped, from)
	j, _ := slices.BinarySearch(t.dropped, oldEnd)
	for _, k := range t.dropped[j:] {
		after = append(after, k-oldEnd+newEnd)
	}
	return slices.Clip(t.dropped[:i]), after
}

// errTooMany is why an endpoint above the bound does not count.
var errTooMany = errors.New("too many endpoints")

func (t *tracker) reject(e Endpoint, err error) {
	if t.rejected != nil {
		t.rejected(e, err)
	}
}

// shrunk returns m, whose memory grows to the largest size that m ever had, most,
// and never shrinks; or a copy, when a quarter of that has been enough since.
func shrunk[V any](m map[string]V, most *int) map[string]V {
	const small = 1024
	if *most = max(*most, len(m)); *most <= small || len(m) >= *most/4 {
		return m
	}
	fewer := make(map[string]V, len(m)) // a clone would be as large
	maps.Copy(fewer, m)
	*most = len(m)
	return fewer
}

// check returns why an entry of the next report does not count, or nil.
func (t *tracker) check(e *Endpoint) error {
	if err := e.Validate(); err != nil {
		return err
	}
	if t.max > 0 && len(t.present) >= t.max {
		t.crowded = true
		return fmt.Errorf("discovery: endpoint %q: %w: the set has more than %d, and this one and those behind it are left out", e.Addr, errTooMany, t.max)
	}
	if _, ok := t.present[e.Addr]; ok {
		t.crowded = true
		return fmt.Errorf("discovery: endpoint %q: an earlier entry has the same address", e.Addr)
	}
	return nil
}

// expect makes room for n endpoints that differ from the old ones: a first set may have
// thousands.
func (t *tracker) expect(n, old int, c *Change) {
	if t.max > 0 {
		n = min(n, t.max)
	}
	if t.present == nil {
		t.present = make(map[string]struct{}, n)
	}
	if n > old {
		c.Added = make([]Endpoint, 0, n-old)
	}
}

// add makes e one of the endpoints that count.
func (t *tracker) add(e *Endpoint, gone map[string]*Endpoint, c *Change) {
	t.present[e.Addr] = struct{}{}
	old := gone[e.Addr]
	delete(gone, e.Addr)
	if k := t.keptAt[e.Addr]; k != nil { // it is back
		delete(t.keptAt, e.Addr)
		old = &k.Endpoint
	}
	switch {
	case old == nil:
		c.Added = append(c.Added, *e)
	case !equal(old, e):
		c.Updated = append(c.Updated, *e)
	}
}

// keep keeps an endpoint in use that the registry does not name any more.
func (t *tracker) keep(e Endpoint, until time.Time) {
	if t.keptAt == nil {
		t.keptAt = make(map[string]*kept)
	}
	k := &kept{e, until}
	t.kept, t.keptAt[e.Addr] = append(t.kept, k), k
}

// sighted takes note of a report that counts for nothing else, since another came behind
// it at once. What it names is back for that moment: an entry that is deleted and created
// again and again is not missing for long, though each report that counts lacks it.
func (t *tracker) sighted(set []Endpoint, now time.Time) {
	if len(t.keptAt) == 0 {
		return
	}
	until := now.Add(min(t.grace, replacing))
	for i := range set {
		if k := t.keptAt[set[i].Addr]; k != nil && until.After(k.until) {
			k.until = until
		}
	}
	t.deadline = time.Time{}
	for _, k := range t.keptAt {
		t.expire(k)
	}
}

// expire makes the deadline that of k, if that is before it.
func (t *tracker) expire(k *kept) {
	if t.deadline.IsZero() || k.until.Before(t.deadline) {
		t.deadline = k.until
	}
}

// release drops the endpoints whose grace is over from what is kept, and those
// that the registry names again.
func (t *tracker) release(over func(until time.Time) bool, c *Change) {
	if len(t.kept) == 0 {
		return
	}
	t.deadline = time.Time{}
	t.kept = slices.DeleteFunc(t.kept, func(k *kept) bool {
		if t.keptAt[k.Addr] != k {
			return true // the registry names it again
		}
		if over(k.until) {
			delete(t.keptAt, k.Addr)
			c.Removed = append(c.Removed, k.Endpoint)
			return true
		}
		t.expire(k)
		return false
	})
	if len(t.kept) == 0 {
		t.kept, t.keptAt = nil, nil // they are as large as the largest mass
	}
}

// without returns set without the entries at the indices, which are ascending.
func without(set []Endpoint, indices []int) []Endpoint {
	if len(indices) == 0 {
		return set
	}
	rest := make([]Endpoint, 0, len(set)-len(indices))
	from := 0
	for _, i := range indices {
		rest = append(rest, set[from:i]...)
		from = i + 1
	}
	return append(rest, set[from:]...)
}
