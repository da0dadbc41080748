package format

import (
	"math"
	"slices"
	"strconv"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// unweighted is the weight of a server whose entry says 0, until levelZero has seen
// the others: the least that is one.
const unweighted = math.SmallestNonzeroFloat64

// takeWholeWeight moves the weight from t to e, in a format whose programs write whole
// numbers; unit is their default. What is not a whole number counts for nothing, as
// with them, and stays an attribute.
func (t texts) takeWholeWeight(e *discovery.Endpoint, unit float64) {
	w, err := strconv.ParseInt(t["weight"], 10, 64)
	if err != nil {
		return
	}
	delete(t, "weight")
	e.Weight = unweighted
	if w > 0 {
		e.Weight = float64(w) / unit
	}
}

// levelZero is [Format.Select] of the formats in which weight 0 is relative: beside
// others it means no calls, but where all have it they are equals. Every provider that
// dubbo-go's servers register has it.
func levelZero(set []discovery.Endpoint) []discovery.Endpoint {
	isZero := func(e discovery.Endpoint) bool { return e.Weight == unweighted }
	if slices.ContainsFunc(set, func(e discovery.Endpoint) bool { return !isZero(e) }) {
		return slices.DeleteFunc(set, isZero)
	}
	for i := range set {
		set[i].Weight = 0
	}
	return set
}
