package slots_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
	"github.com/minicaptain/multi_connection_pool/internal/load"
)

// use is what the end of a lease adds to the generation.
const use = 1 << 3

// near is how many slots are found without a step to another place in memory.
const near = 8

// sizes straddle the edges of the near slots and of the words: 48 bits in the first,
// 64 in each further one.
func sizes() []int { return []int{1, 2, 7, 8, 9, 47, 48, 49, 112, 113, 300} }

// lease is a lease as its holder remembers it.
type lease struct {
	slot *slots.Slot
	gen  uint64
}

// naive is what the model knows of one slot.
type naive struct {
	slot *slots.Slot
	idle bool
	gen  uint64
	// leased means that the owner leased it at gen, flags aside. Else whoever
	// owns it holds no lease, as the pool itself during a check.
	leased bool
	// began is when the lease numbered timed, from 1, began; 0 is none.
	began time.Duration
	timed uint64
}

// model is a set of slots, a real one beside a naive one.
type model struct {
	t        *testing.T
	rand     *rand.Rand
	set      slots.Set
	awaited  atomic.Int64
	limit    int
	at       []*naive // by index; nil is vacant
	reserved int      // reserved and not placed
	down     bool
	ejected  bool
	leases   []lease // taken at any time, most of them over
	ended    int
}

func newModel(t *testing.T, seed uint64, n, limit int) *model {
	t.Helper()
	m := &model{t: t, rand: rand.New(rand.NewPCG(seed, uint64(n))), limit: limit, at: make([]*naive, n)}
	m.set.Init(&m.awaited)
	m.set.SetLimit(limit)
	return m
}

// TestSetBehavesAsANaiveOne does random things to a set and to a list of
// records, and compares them after each.
func TestSetBehavesAsANaiveOne(t *testing.T) {
	for _, n := range sizes() {
		for _, limit := range []int{0, 1, n/2 + 1} {
			t.Run(fmt.Sprintf("%d slots, at most %d idle", n, limit), func(t *testing.T) {
				t.Parallel()
				for seed := range uint64(3) {
					m := newModel(t, seed, n, limit)
					for step := range 8 * (n + 60) {
						what := m.step()
						if m.check(); t.Failed() {
							t.Fatalf("seed %d, step %d: after %s", seed, step, what)
						}
					}
					if m.ended == 0 {
						t.Fatalf("seed %d: no lease ended; nothing was tested", seed)
					}
				}
			})
		}
	}
}

// step does one random thing and says what.
func (m *model) step() string {
	switch m.rand.IntN(14) {
	case 0, 1, 2:
		m.acquire()
		return "Acquire"
	case 3, 4:
		return m.end(release, true)
	case 5:
		return m.end((*slots.Slot).End, false)
	case 6:
		return m.put()
	case 7:
		return m.flag()
	case 8:
		return m.take()
	case 9:
		return m.vacate()
	case 10:
		return m.place()
	case 11:
		return m.begin()
	case 12:
		if m.limit != 0 || m.rand.IntN(8) == 0 { // a bounded set stays so most of the time, and an unbounded one unbounded
			m.limit = m.rand.IntN(len(m.at) + 1)
		}
		m.set.SetLimit(m.limit)
		return fmt.Sprintf("SetLimit(%d)", m.limit)
	default:
		return m.mark()
	}
}

// mark changes what the pool says of the whole endpoint.
func (m *model) mark() string {
	on := m.rand.IntN(2) == 0
	switch m.rand.IntN(4) {
	case 0:
		if changed := m.set.SetEjected(on); changed != (on != m.ejected) {
			m.t.Errorf("SetEjected(%v) = %v while ejected is %v", on, changed, m.ejected)
		}
		m.ejected = on
		return fmt.Sprintf("SetEjected(%v)", on)
	case 1:
		if changed := m.set.SetDown(on); changed != (on != m.down) {
			m.t.Errorf("SetDown(%v) = %v while down is %v", on, changed, m.down)
		}
		m.down = on
		return fmt.Sprintf("SetDown(%v)", on)
	default:
		m.awaited.Store(int64(m.rand.IntN(2)))
		return "a change of the number of waiting calls"
	}
}

func (m *model) acquire() {
	want := slices.IndexFunc(m.at, func(n *naive) bool { return n != nil && n.idle })
	sl := m.set.TryAcquire()
	if (sl != nil) != (want >= 0 && want < near) {
		m.t.Errorf("TryAcquire found a slot: %v, where the lowest idle one is %d", sl != nil, want)
	}
	gen := uint64(0)
	if sl != nil {
		gen = sl.Gen()
		if m.rand.IntN(2) == 0 {
			sl.Put()
			sl = nil
		}
	}
	if sl == nil {
		sl, gen = m.set.Acquire()
	}
	if want < 0 {
		if sl != nil || gen != 0 {
			m.t.Errorf("Acquire gave a slot although none is idle")
		}
		return
	}
	n := m.at[want]
	if sl != n.slot || gen != n.gen {
		m.t.Errorf("Acquire did not give slot %d at generation %d, the lowest idle one", want, n.gen)
		return
	}
	n.idle = false
	if m.rand.IntN(4) == 0 {
		return // the pool takes it for itself
	}
	gen = sl.Unflag(slots.NeedsCheck)
	n.gen &^= slots.NeedsCheck
	if gen != n.gen {
		m.t.Errorf("Unflag(NeedsCheck) = %d, want %d", gen, n.gen)
	}
	if gen&slots.Retired == 0 {
		n.leased = true
		m.leases = append(m.leases, lease{sl, gen})
	}
}

// end ends a lease taken at some time: the current one of its slot, or not.
func (m *model) end(how func(*slots.Slot, uint64) slots.EndResult, release bool) string {
	if len(m.leases) == 0 {
		return "nothing"
	}
	k := len(m.leases) - 1
	if m.rand.IntN(3) == 0 {
		k = m.rand.IntN(len(m.leases))
	}
	l := m.leases[k]
	i := m.find(l.slot)
	want := slots.Stale
	if i >= 0 && m.at[i].leased && m.at[i].gen/use == l.gen/use {
		n := m.at[i]
		want = slots.Usable
		switch {
		case n.gen&slots.Retired != 0:
			want = slots.MustClose
		case release && n.gen == l.gen && m.awaited.Load() == 0 && m.limit == 0 && i < 48:
			want = slots.Idle
			n.idle = true
		}
		n.leased = false
		n.gen = n.gen&^slots.NeedsCheck + use
		m.ended++
	}
	if current := l.slot.Current(l.gen); current != (want != slots.Stale) {
		m.t.Errorf("Current = %v before an end that is to be %d", current, want)
	}
	if got := how(l.slot, l.gen); got != want {
		m.t.Errorf("lease of slot %d at generation %d ended with %d, want %d", i, l.gen, got, want)
	}
	return fmt.Sprintf("the end of a lease of slot %d (release: %v)", i, release)
}

// put makes a slot idle that the pool owns.
func (m *model) put() string {
	n := m.owned()
	if n == nil {
		return "nothing"
	}
	if m.rand.IntN(2) == 0 {
		n.slot.Put()
		n.idle = true
		return "Put"
	}
	room := m.limit == 0 || m.idle() < m.limit
	if got := n.slot.PutWithin(); got != room {
		m.t.Errorf("PutWithin = %v with %d idle of at most %d", got, m.idle(), m.limit)
	}
	n.idle = room
	return "PutWithin"
}

func (m *model) flag() string {
	n := m.any()
	if n == nil {
		return "nothing"
	}
	f := []uint64{slots.NeedsCheck, slots.Timed, slots.Retired}[m.rand.IntN(3)]
	if f == slots.Retired && m.rand.IntN(4) > 0 { // nothing ends that
		f = slots.NeedsCheck
	}
	n.slot.Flag(f)
	n.gen |= f
	return fmt.Sprintf("Flag(%d)", f)
}

func (m *model) take() string {
	n := m.any()
	if n == nil {
		return "nothing"
	}
	if got := n.slot.Take(); got != n.idle {
		m.t.Errorf("Take = %v of a slot whose being idle is %v", got, n.idle)
	}
	n.idle = false
	return "Take"
}

func (m *model) vacate() string {
	n := m.owned()
	if n == nil {
		return "nothing"
	}
	i := m.find(n.slot)
	if got := n.slot.Vacate(); got != i {
		m.t.Errorf("Vacate = %d, want %d", got, i)
	}
	m.at[i] = nil
	if n.slot.Placed() {
		m.t.Error("a slot that was vacated is in its position")
	}
	return "Vacate"
}

func (m *model) place() string {
	i := m.rand.IntN(len(m.at))
	if m.rand.IntN(2) == 0 {
		i = slices.Index(m.at, nil)
	}
	switch {
	case i < 0 || m.at[i] != nil:
		return "nothing"
	case m.reserved > 0 && m.rand.IntN(4) == 0:
		m.set.Unreserve() // a dial that failed
		m.reserved--
		return "Unreserve"
	case m.reserved == 0:
		m.set.Reserve()
		m.reserved++
		if m.rand.IntN(4) == 0 {
			return "Reserve"
		}
	}
	n := &naive{slot: &slots.Slot{}}
	m.set.Place(n.slot, i)
	m.at[i] = n
	m.reserved--
	return fmt.Sprintf("Place at %d", i)
}

// begin notes when the present lease of a slot began.
func (m *model) begin() string {
	n := m.pick(func(n *naive) bool { return !n.idle })
	if n == nil {
		return "nothing"
	}
	n.began, n.timed = time.Duration(m.rand.IntN(1000)), n.gen/use+1
	n.slot.Begin(n.gen, n.began)
	return "Begin"
}

// check compares everything that can be seen.
func (m *model) check() {
	taken := m.reserved
	for i, n := range m.at {
		if n == nil {
			continue
		}
		if !n.idle {
			taken++
		}
		if !n.slot.Placed() || n.slot.IsIdle() != n.idle || n.slot.Gen() != n.gen || n.slot.Uses() != n.gen/use {
			m.t.Errorf("slot %d: placed %v, idle %v, generation %d, uses %d; want true, %v, %d, %d",
				i, n.slot.Placed(), n.slot.IsIdle(), n.slot.Gen(), n.slot.Uses(), n.idle, n.gen, n.gen/use)
		}
		for _, gen := range []uint64{n.gen - use, n.gen, n.gen | slots.Timed, n.gen + use} {
			began, ok := n.slot.Began(gen)
			if want := n.timed != 0 && gen/use+1 == n.timed; ok != want || ok && began != n.began {
				m.t.Errorf("slot %d: Began(%d) = %v, %v; want %v, %v", i, gen, began, ok, n.began, want)
			}
		}
	}
	if m.set.Ejected() != m.ejected || m.set.Unavailable() != (m.down || m.ejected) {
		m.t.Errorf("ejected %v, unavailable %v; want %v, with down %v", m.set.Ejected(), m.set.Unavailable(), m.ejected, m.down)
	}
	if m.set.Idle() != m.idle() || m.set.InFlight() != taken || m.set.Down() != m.down {
		m.t.Errorf("%d idle, %d in flight, down %v; want %d, %d, %v",
			m.set.Idle(), m.set.InFlight(), m.set.Down(), m.idle(), taken, m.down)
	}
	pressure := uint64(taken)
	if m.down {
		pressure += 2 * load.Flagged
	}
	if m.ejected {
		pressure += load.Flagged
	}
	if m.set.Pressure() != pressure {
		m.t.Errorf("pressure %d, want %d", m.set.Pressure(), pressure)
	}
}

func (m *model) idle() int {
	k := 0
	for _, n := range m.at {
		if n != nil && n.idle {
			k++
		}
	}
	return k
}

func (m *model) find(sl *slots.Slot) int {
	return slices.IndexFunc(m.at, func(n *naive) bool { return n != nil && n.slot == sl })
}

// any returns a random slot; owned one that the pool owns and nobody leases.
func (m *model) any() *naive { return m.pick(func(*naive) bool { return true }) }

func (m *model) owned() *naive { return m.pick(func(n *naive) bool { return !n.idle && !n.leased }) }

func (m *model) pick(ok func(*naive) bool) *naive {
	var fit []*naive
	for _, n := range m.at {
		if n != nil && ok(n) {
			fit = append(fit, n)
		}
	}
	if len(fit) == 0 {
		return nil
	}
	return fit[m.rand.IntN(len(fit))]
}
