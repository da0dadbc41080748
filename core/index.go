package core

import "maps"

// index finds sub-pools by address. It is immutable.
type index struct {
	all map[string]*subpool
	// diff is what came since all was made, and nil for what left.
	diff map[string]*subpool
}

// rebuilt is the part of all that diff may be.
const rebuilt = 1. / 16

func (x index) get(addr string) *subpool {
	if s, ok := x.diff[addr]; ok {
		return s
	}
	return x.all[addr]
}

// with returns the index of subs, which is that of x but for what came and left.
func (x index) with(came, left, subs []*subpool) index {
	if float64(len(x.diff)+len(came)+len(left)) > rebuilt*float64(len(x.all)) {
		x = index{all: make(map[string]*subpool, len(subs))}
		for _, s := range subs {
			x.all[s.addr()] = s
		}
		return x
	}
	diff := make(map[string]*subpool, len(x.diff)+len(came)+len(left))
	maps.Copy(diff, x.diff)
	for _, s := range left {
		diff[s.addr()] = nil
	}
	for _, s := range came {
		diff[s.addr()] = s
	}
	return index{x.all, diff}
}
