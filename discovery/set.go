package discovery

import (
	"fmt"
	"iter"
	"slices"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

// Set is what a watcher keeps of a registry during one Watch: its entries by
// key, each decoded once. It turns single changes and re-lists into complete
// sets of endpoints:
//
//	set := discovery.NewSet(decode, skipped)
//	set.Replace(entries)   // the list
//	set.Report(report)
//	for event := range events {
//		set.Put(event.Key, event.Value)   // or set.Delete(event.Key)
//		set.Report(report)
//	}
//
// An entry that cannot be decoded is skipped, and all others count. Where two
// entries have the same address, the one with the lower key counts, whichever
// came first; when it goes, the other counts. Endpoints are reported in the
// order of their keys, and those of one entry in the order of the entry.
//
// A change costs one decode. A Set is not safe for concurrent use.
type Set struct {
	decode  format.Decoder
	skipped func(key string, err error)

	byKey  map[string]*entry
	sorted []*entry // by key
	bad    int      // entries with malformed set

	// claims counts, for each address, the endpoints that have it; shared is
	// how many addresses are claimed more than once.
	claims map[string]int
	shared int

	dirty bool             // something changed since the last Report
	last  []*core.Endpoint // what it reported
	told  bool             // whether there was one
}

// entry is one entry of the registry. Its endpoints are replaced when they
// change, never modified, so that the same pointer is the same endpoint.
type entry struct {
	key       string
	value     string
	eps       []*core.Endpoint
	malformed bool
}

// NewSet returns an empty set of entries that decode reads. skipped, if it is
// not nil, is told of each entry that is malformed, wholly or in part, once
// for each value that it has.
func NewSet(decode format.Decoder, skipped func(key string, err error)) *Set {
	if skipped == nil {
		skipped = func(string, error) {}
	}
	return &Set{
		decode:  decode,
		skipped: skipped,
		byKey:   make(map[string]*entry),
		claims:  make(map[string]int),
	}
}

// Put adds an entry, or changes its value, of which it keeps a copy. An entry
// that has this value already is not decoded.
func (s *Set) Put(key string, value []byte) {
	e := s.byKey[key]
	if e == nil {
		e = s.add(key)
		i, _ := s.find(key)
		s.sorted = slices.Insert(s.sorted, i, e)
	} else if e.value == string(value) {
		return
	}
	s.set(e, value)
}

// Delete removes an entry, if it is there.
func (s *Set) Delete(key string) {
	e := s.byKey[key]
	if e == nil {
		return
	}
	s.forget(e)
	i, _ := s.find(key)
	s.sorted = slices.Delete(s.sorted, i, i+1)
}

// Replace makes entries all that there is. Those that have kept their value
// are not decoded. Where a key is named twice, its last value counts.
func (s *Set) Replace(entries iter.Seq2[string, []byte]) {
	present := make(map[string]bool, len(s.byKey))
	added := false
	for key, value := range entries {
		present[key] = true
		e := s.byKey[key]
		if e == nil {
			e = s.add(key)
			s.sorted = append(s.sorted, e)
			added = true
		} else if e.value == string(value) {
			continue
		}
		s.set(e, value)
	}
	s.keep(present)
	if added {
		slices.SortFunc(s.sorted, byKey)
	}
}

// Retain removes the entries that are not among keys and returns those of
// keys that are not in the set, without duplicates, for a watcher that lists
// keys and then reads what is new.
func (s *Set) Retain(keys []string) (missing []string) {
	present := make(map[string]bool, len(keys))
	for _, key := range keys {
		if !present[key] && s.byKey[key] == nil {
			missing = append(missing, key)
		}
		present[key] = true
	}
	s.keep(present)
	return missing
}

// Len returns the number of entries, whatever they give.
func (s *Set) Len() int { return len(s.byKey) }

// Malformed returns the number of entries that are malformed, wholly or in
// part.
func (s *Set) Malformed() int { return s.bad }

// Report calls report with the complete set, which is report's to keep, if it
// is not the one that Report told last. It returns whether it did.
func (s *Set) Report(report func([]core.Endpoint)) bool {
	if s.told && !s.dirty {
		return false
	}
	s.dirty = false
	now := s.winners()
	if s.told && slices.EqualFunc(now, s.last, equal) {
		return false
	}
	s.last, s.told = now, true
	eps := make([]core.Endpoint, len(now))
	for i, e := range now {
		eps[i] = *e
	}
	report(eps)
	return true
}

// winners returns the endpoints that count.
func (s *Set) winners() []*core.Endpoint {
	all := make([]*core.Endpoint, 0, len(s.sorted))
	var seen map[string]bool // of the addresses claimed more than once
	if s.shared > 0 {
		seen = make(map[string]bool, s.shared)
	}
	for _, e := range s.sorted {
		for _, ep := range e.eps {
			if s.shared > 0 && s.claims[ep.Addr] > 1 {
				if seen[ep.Addr] {
					continue
				}
				seen[ep.Addr] = true
			}
			all = append(all, ep)
		}
	}
	return all
}

func (s *Set) find(key string) (int, bool) {
	return slices.BinarySearchFunc(s.sorted, &entry{key: key}, byKey)
}

func (s *Set) add(key string) *entry {
	e := &entry{key: key}
	s.byKey[key] = e
	return e
}

// set gives e a value, and tells when that is malformed.
func (s *Set) set(e *entry, value []byte) {
	e.value = string(value)
	eps, err := s.read(e.key, value)
	s.mark(e, err != nil)
	if err != nil {
		s.skipped(e.key, err)
	}
	now := make([]*core.Endpoint, len(eps))
	for i := range eps {
		now[i] = &eps[i]
	}
	if slices.EqualFunc(now, e.eps, equal) {
		return
	}
	s.claim(e.eps, -1)
	s.claim(now, +1)
	e.eps = now
	s.dirty = true
}

// read decodes one entry; whatever is wrong with it, it is no more than one.
func (s *Set) read(key string, value []byte) (eps []core.Endpoint, err error) {
	defer func() {
		if v := recover(); v != nil {
			eps, err = nil, fmt.Errorf("discovery: the decoder panicked: %v", v)
		}
	}()
	eps, err = s.decode(key, value)
	good := make([]core.Endpoint, 0, len(eps))
	for _, e := range eps {
		if verr := e.Validate(); verr != nil {
			err = verr
			continue
		}
		good = append(good, e)
	}
	return good, err
}

// keep removes the entries that are not present.
func (s *Set) keep(present map[string]bool) {
	s.sorted = slices.DeleteFunc(s.sorted, func(e *entry) bool {
		if !present[e.key] {
			s.forget(e)
			return true
		}
		return false
	})
}

// forget removes e from everything but sorted.
func (s *Set) forget(e *entry) {
	delete(s.byKey, e.key)
	s.mark(e, false)
	s.claim(e.eps, -1)
	s.dirty = s.dirty || len(e.eps) > 0
}

func (s *Set) mark(e *entry, malformed bool) {
	switch {
	case malformed && !e.malformed:
		s.bad++
	case !malformed && e.malformed:
		s.bad--
	}
	e.malformed = malformed
}

// claim counts n more claims to each of the addresses.
func (s *Set) claim(eps []*core.Endpoint, n int) {
	for _, e := range eps {
		before := s.claims[e.Addr]
		after := before + n
		switch {
		case before == 1 && after == 2:
			s.shared++
		case before == 2 && after == 1:
			s.shared--
		}
		if after == 0 {
			delete(s.claims, e.Addr)
			continue
		}
		s.claims[e.Addr] = after
	}
}

func byKey(a, b *entry) int {
	switch {
	case a.key < b.key:
		return -1
	case a.key > b.key:
		return 1
	}
	return 0
}

func equal(a, b *core.Endpoint) bool { return a == b || a.Equal(*b) }
