package discovery

import (
	"fmt"
	"hash/maphash"
	"iter"
	"slices"

	"github.com/minicaptain/multi_connection_pool/internal/brief"
)

const (
	// maxEntryValue is the size in bytes above which the value of an entry is not
	// looked at. Registries refuse larger ones by default: ZooKeeper's limit is 1
	// MiB, etcd's 1.5 MiB, Consul's 512 KiB.
	maxEntryValue = 1 << 20
	// maxEntryEndpoints bounds the endpoints of one entry.
	maxEntryEndpoints = 1024
)

// Decoder decodes one entry of a registry. Of key, only the part behind the last
// slash counts.
//
// An entry may have several endpoints. An entry that is foreign to the format, or
// whose server takes no calls, has none and is no error. Endpoints returned
// beside an error count; the error is about the rest of the entry. Every
// endpoint passes Validate, and no input makes a decoder panic. A decoder keeps
// no part of value and is safe for concurrent use. Package format has decoders.
type Decoder func(key string, value []byte) ([]Endpoint, error)

// Set has the entries of a registry by key, each decoded once, for one Watch. It
// turns single changes and new lists into complete sets of endpoints:
//
//	set := discovery.NewSet(decode, skipped)
//	set.Replace(entries)   // the list
//	set.Report(report)
//	for event := range events {
//		set.Put(event.Key, event.Value)   // or set.Delete(event.Key)
//		set.Report(report)
//	}
//
// An entry that cannot be decoded is skipped, and all others count. So is a value
// of more than 1 MiB, and of an entry's endpoints what is above 1,024. If two
// entries have the same address, the one with the lower key counts, whichever
// came first; when that is deleted, the other counts. The order of the endpoints
// is that of their keys, and within an entry that of the entry.
//
// A change costs one decode. A Set is not safe for concurrent use.
type Set struct {
	decode  Decoder
	skipped func(key string, err error)
	seed    maphash.Seed
	admit   Admission
	pick    func([]Endpoint) []Endpoint // nil for all

	byKey   map[string]*entry
	sorted  []*entry // by key
	bad     int      // entries with malformed set
	last    *entry   // the last that was skipped, nil if it is gone or mended
	lastBad error    // why

	// claims counts the endpoints of each address, and shared the addresses with
	// more than one.
	claims map[string]int
	shared int
	// mostKeys and mostClaims are the largest sizes of byKey and claims.
	mostKeys, mostClaims int

	dirty bool // the set may differ from the last one that was reported
}

// entry is one entry of the registry.
type entry struct {
	key       string
	value     uint64 // its hash: who writes to a registry decides how large a value is
	eps       []Endpoint
	malformed bool
}

// NewSet returns an empty set. It decodes entries with decode. If skipped is not
// nil, it is called for each entry that is malformed, wholly or in part, once for
// each value of the entry.
func NewSet(decode Decoder, skipped func(key string, err error)) *Set {
	if skipped == nil {
		skipped = func(string, error) {}
	}
	return &Set{
		decode:  decode,
		skipped: skipped,
		seed:    maphash.MakeSeed(),
		byKey:   make(map[string]*entry),
		claims:  make(map[string]int),
		dirty:   true,
	}
}

// Admit sets which endpoints count, from the next entry on. Before, those of the
// zero [Admission] do.
func (s *Set) Admit(a Admission) { s.admit = a }

// Select sets a function that decides over the whole set, where a single entry cannot:
// which of the endpoints count, and with which weight. It gets them before each report,
// may modify the slice, and returns what is reported. It depends on nothing else.
func (s *Set) Select(f func(set []Endpoint) []Endpoint) { s.pick = f }

// Put adds an entry or changes its value. It does not keep value. An entry that
// has this value already is not decoded again.
func (s *Set) Put(key string, value []byte) {
	hash := maphash.Bytes(s.seed, value)
	e := s.byKey[key]
	if e == nil {
		e = s.add(key)
		i, _ := s.find(key)
		s.sorted = slices.Insert(s.sorted, i, e)
	} else if e.value == hash {
		return
	}
	s.set(e, value, hash)
}

// Delete removes an entry, if the set has it.
func (s *Set) Delete(key string) {
	e := s.byKey[key]
	if e == nil {
		return
	}
	s.forget(e)
	i, _ := s.find(key)
	s.sorted = slices.Delete(s.sorted, i, i+1)
}

// Replace replaces all entries. An entry that keeps its value is not decoded
// again. If a key comes twice, its last value counts.
//
// The entries whose keys are in kept stay as they are, if the set has them and entries
// does not. They are for a watcher that recognizes what is unchanged before it has the
// values.
func (s *Set) Replace(entries iter.Seq2[string, []byte], kept ...string) {
	present := make(map[string]bool, len(s.byKey))
	for _, key := range kept {
		present[key] = true
	}
	added := false
	for key, value := range entries {
		present[key] = true
		hash := maphash.Bytes(s.seed, value)
		e := s.byKey[key]
		if e == nil {
			e = s.add(key)
			s.sorted = append(s.sorted, e)
			added = true
		} else if e.value == hash {
			continue
		}
		s.set(e, value, hash)
	}
	s.keep(present)
	if added {
		slices.SortFunc(s.sorted, byKey)
	}
}

// Retain removes the entries whose key is not among keys. It returns those of keys
// that the set does not have, without duplicates. It is for a watcher that lists
// keys and then reads the new ones.
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

// Len returns the number of entries, with and without endpoints.
func (s *Set) Len() int { return len(s.byKey) }

// Malformed returns the number of entries that are malformed, wholly or in
// part.
func (s *Set) Malformed() int { return s.bad }

// Warning returns how many entries are skipped, wholly or in part, and why the last one
// was, or which one still is if that is gone; nil if none is. It is for [ReportWarning].
func (s *Set) Warning() error {
	if s.bad == 0 {
		return nil
	}
	if s.last != nil {
		return fmt.Errorf("discovery: %d of %d entries are skipped; the last one, %w", s.bad, len(s.byKey), s.lastBad)
	}
	// Errors are not kept for each entry: who writes to a registry decides how many are malformed.
	i := slices.IndexFunc(s.sorted, func(e *entry) bool { return e.malformed })
	return fmt.Errorf("discovery: %d of %d entries are skipped, such as %q", s.bad, len(s.byKey), brief.Clip(s.sorted[i].key))
}

// Report calls report with the complete set, if an endpoint of an entry has
// changed since the last call, and the first time. The set may be the same as
// before: an endpoint that changed does not always count. The slice is report's to
// keep. Report returns whether it called report.
func (s *Set) Report(report func([]Endpoint)) bool {
	if !s.dirty {
		return false
	}
	s.dirty = false
	set := s.winners()
	if s.pick != nil {
		set = s.pick(set)
	}
	report(set)
	return true
}

// winners returns the endpoints that count.
func (s *Set) winners() []Endpoint {
	all := make([]Endpoint, 0, len(s.sorted))
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

// set decodes the value of e.
func (s *Set) set(e *entry, value []byte, hash uint64) {
	e.value = hash
	eps, err := s.decodeEntry(e.key, value)
	s.mark(e, err != nil)
	if err != nil {
		s.last, s.lastBad = e, fmt.Errorf("%q: %w", brief.Clip(e.key), err)
		s.skipped(e.key, err)
	}
	if slices.EqualFunc(eps, e.eps, Endpoint.Equal) {
		return
	}
	s.claim(e.eps, -1)
	s.claim(eps, +1)
	e.eps = eps
	s.dirty = true
}

// decodeEntry decodes one entry. Whatever is wrong with it costs this entry alone.
func (s *Set) decodeEntry(key string, value []byte) (eps []Endpoint, err error) {
	defer func() {
		if v := recover(); v != nil {
			eps, err = nil, fmt.Errorf("discovery: the decoder panicked: %v", v)
		}
	}()
	if len(value) > maxEntryValue {
		return nil, fmt.Errorf("discovery: the value has %d bytes, more than %d", len(value), maxEntryValue)
	}
	eps, err = s.decode(key, value)
	if n := len(eps); n > maxEntryEndpoints {
		eps, err = eps[:maxEntryEndpoints], fmt.Errorf("discovery: %d endpoints in one entry, of which %d count", n, maxEntryEndpoints)
	}
	good := make([]Endpoint, 0, len(eps))
	for _, e := range eps {
		verr := e.Validate()
		if verr == nil {
			verr = s.admit.Check(e)
		}
		if verr != nil {
			err = verr
			continue
		}
		good = append(good, e)
	}
	return good, err
}

// keep removes the entries whose key is not present.
func (s *Set) keep(present map[string]bool) {
	s.sorted = slices.DeleteFunc(s.sorted, func(e *entry) bool {
		if !present[e.key] {
			s.forget(e)
			return true
		}
		return false
	})
	s.byKey, s.claims = shrunk(s.byKey, &s.mostKeys), shrunk(s.claims, &s.mostClaims)
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
	if !malformed && e == s.last {
		s.last, s.lastBad = nil, nil
	}
}

// claim adds n to the claims of each of the addresses.
func (s *Set) claim(eps []Endpoint, n int) {
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
