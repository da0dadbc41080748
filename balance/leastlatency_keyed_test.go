package balance

import (
	"fmt"
	"slices"
	"testing"
)

// keys is how many keys the tests spread.
const keys = 5000

// owners returns the endpoint of each of many keys.
func (w *world) owners() []int {
	all := make([]int, keys)
	for k := range all {
		all[k] = w.pickKey(Hash(fmt.Sprint("key", k)))
	}
	return all
}

// counts counts the keys of each endpoint.
func (w *world) counts(owners []int) []int {
	seen := make([]int, len(w.loads))
	for _, i := range owners {
		seen[i]++
	}
	return seen
}

func TestKeysAreSpreadEvenlyAndStayWhereTheyAre(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5, 9, 64} {
		w := newWorld(equal(n)...)
		owners := w.owners()
		wantEven(t, fmt.Sprint(n, " endpoints"), w.counts(owners))
		w.settleEvenly(ms)
		for i := range n { // neither latency nor load moves a key
			w.busy(i, 7*i)
		}
		if !slices.Equal(owners, w.owners()) {
			t.Errorf("%d endpoints: keys moved without a reason", n)
		}
	}
}

func TestKeyDependsOnTheAddressAndNotOnTheOrder(t *testing.T) {
	w := newWorld(equal(9)...)
	members := w.members(equal(9)...)
	before := w.owners()
	slices.Reverse(members)
	w.build(members)
	for k, i := range w.owners() {
		if members[i].Endpoint.Addr != fmt.Sprint("server", before[k]) {
			t.Fatalf("key %d moved from server%d to %s when the order changed", k, before[k], members[i].Endpoint.Addr)
		}
	}
	// Another process computes the same.
	if again := newWorld(equal(9)...); !slices.Equal(before, again.owners()) {
		t.Error("another picker of the same servers has other owners")
	}
}

func TestOnlyTheKeysOfAnEndpointThatIsDownMove(t *testing.T) {
	w := newWorld(equal(9)...)
	before := w.owners()
	w.loads[4].SetDown(true)
	wantOnlyMovedFrom(t, before, w.owners(), 4)
	w.loads[4].SetDown(false)
	if !slices.Equal(before, w.owners()) {
		t.Error("the keys did not return with their endpoint")
	}
	for _, l := range w.loads {
		l.SetDown(true)
	}
	if !slices.Equal(before, w.owners()) {
		t.Error("keys move when all endpoints are down")
	}
	w.loads[7].SetDown(false)
	if seen := w.counts(w.owners()); seen[7] != keys {
		t.Errorf("%d of %d keys go to the only endpoint that is up", seen[7], keys)
	}
}

func TestOnlyTheKeysOfAnEndpointThatLeavesOrComesMove(t *testing.T) {
	w := newWorld(equal(10)...)
	all := w.members(equal(10)...)
	before := w.owners()
	w.build(all[:9]) // the indices of the others stay
	wantOnlyMovedFrom(t, before, w.owners(), 9)
	w.build(all)
	if !slices.Equal(before, w.owners()) {
		t.Error("the keys did not return with their endpoint")
	}
}

// wantOnlyMovedFrom fails the test unless all keys of from moved, to all the
// others, and no other key did.
func wantOnlyMovedFrom(t *testing.T, before, after []int, from int) {
	t.Helper()
	to := map[int]int{}
	for k, i := range before {
		if (i == from) != (after[k] != i) {
			t.Fatalf("a key of endpoint %d went to %d when %d left", i, after[k], from)
		}
		if i == from {
			to[after[k]]++
		}
	}
	if len(to) < 8 {
		t.Errorf("the keys of the endpoint that left all went to %v", to)
	}
}

func TestHashesOfLikeKeysDiffer(t *testing.T) {
	seen := map[uint64]string{}
	for k := range 30_000 {
		for _, s := range []string{fmt.Sprint(k), fmt.Sprint("k", k), fmt.Sprint(k, "\x00")} {
			h := Hash(s)
			if other, ok := seen[h]; ok {
				t.Fatalf("%q and %q have the same hash", s, other)
			}
			seen[h] = s
		}
	}
}
