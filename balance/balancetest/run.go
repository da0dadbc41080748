// Package balancetest is the conformance suite of [core.Balancer]: what any of
// them has to do, and what some promise beyond that.
//
//	func TestMine(t *testing.T) {
//		balancetest.Run(t, func() core.Balancer { return mine.New() }, balancetest.Even(), balancetest.Keys(1))
//	}
//
// It examines a balancer as a pool would use it, with members of no pool and
// a clock of its own: it takes a few seconds and waits for nothing.
package balancetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// Promise is what a balancer promises beyond the contract.
type Promise func(*promises)

type promises struct {
	even, weighted, learns bool
	weightedKeys           bool
	except                 map[string]string
	moves                  float64
	excess                 float64
	spare                  int
}

// Even promises that endpoints of the same weight get the same number of
// calls, whether there is load or not.
func Even() Promise { return func(p *promises) { p.even = true } }

// Weighted promises that busy endpoints get calls in proportion to their
// weights, if that is also the proportion of their speeds.
func Weighted() Promise { return func(p *promises) { p.weighted = true } }

// Learns promises that an endpoint which answers slowly is avoided, and that
// the next set of endpoints does not make that be forgotten.
func Learns() Promise { return func(p *promises) { p.learns = true } }

// Keys promises consistent hashing: keys are spread evenly over endpoints of
// equal weight; those of an endpoint that is out go to many others, and no other key
// moves; and when one comes or leaves, at most moves times as many keys move as
// must.
func Keys(moves float64) Promise { return func(p *promises) { p.moves = moves } }

// WeightedKeys promises that keys are spread over endpoints by weight.
func WeightedKeys() Promise { return func(p *promises) { p.weightedKeys = true } }

// Bounded promises that no keyed call goes to an endpoint which has more than
// (1 + excess) times its share of the calls in flight with it, rounded up, nor
// more than spare.
func Bounded(excess float64, spare int) Promise {
	return func(p *promises) { p.excess, p.spare = excess, spare }
}

// Except admits that the rule of this name is broken, and says why that is
// borne. The rule is checked all the same: what goes against it is the reason
// of a skip.
func Except(rule, why string) Promise {
	return func(p *promises) {
		if p.except == nil {
			p.except = map[string]string{}
		}
		p.except[rule] = why
	}
}

// rule is one case of the suite: a sentence of the contract and its check.
type rule struct {
	name string
	says string
	// applies: nil means to all balancers.
	applies func(p *promises) bool
	// long: it plays seconds of calls in one goroutine, in which the race
	// detector finds nothing, and which take minutes under it.
	long bool
	// check returns what went against the rule. It has no testing.T so that
	// the suite's own tests can watch it fail.
	check func(x *exam) error
}

// limit is how long a check may take: one that takes longer is stuck.
const limit = 2 * time.Minute

// Run examines the balancers that construct returns, one subtest for each rule
// that applies. It must not run beside parallel tests: it counts allocations.
func Run(t *testing.T, construct func() core.Balancer, promised ...Promise) {
	t.Helper()
	var p promises
	for _, promise := range promised {
		promise(&p)
	}
	for _, r := range rules() {
		if r.applies != nil && !r.applies(&p) {
			continue
		}
		t.Run(r.name, func(t *testing.T) {
			if r.long && raced {
				t.Skip("long, and without concurrency: not under the race detector")
			}
			err := examine(construct, p, r, limit)
			why, excepted := p.except[r.name]
			switch {
			case err != nil && excepted:
				t.Skipf("%v\ncontract: %s\nadmitted: %s", err, r.says, why)
			case err != nil:
				t.Errorf("%v\ncontract: %s", err, r.says)
			}
		})
	}
}

func rules() []rule {
	return slices.Concat(pickRules(), spreadRules(), keyRules(), reportRules(), raceRules())
}

// examine checks one rule.
func examine(construct func() core.Balancer, p promises, r rule, limit time.Duration) error {
	done := make(chan error, 1)
	go func() { // ends with the check; one that is stuck is left behind
		defer func() {
			if v := recover(); v != nil {
				done <- fmt.Errorf("panic: %v", v)
			}
		}()
		done <- r.check(&exam{promises: p, construct: construct})
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("not done after %v: a call does not return, or takes far too long", limit)
	}
}

// exam is what a check works with.
type exam struct {
	promises
	construct func() core.Balancer
}
