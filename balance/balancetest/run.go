// Package balancetest is the conformance suite of [balance.Balancer].
//
//	func TestConformance(t *testing.T) {
//		balancetest.Run(t, mine.New, balancetest.Properties{Even: true, MaxKeyMoves: 1})
//	}
//
// [Run] tests the contract of every balancer, and the [Properties] that this
// balancer has beyond it. It simulates a pool, with members of its own and a
// simulated clock, and takes a few seconds.
//
// [NewMember] returns a member for other tests and simulations of balancers.
package balancetest

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
)

// Properties are what a balancer guarantees beyond the contract. Run skips the
// rules of a property that is not set, and each skip names the property.
type Properties struct {
	// Even means that members of the same weight get the same number of calls,
	// with and without load.
	Even bool
	// Weighted means that members get calls in proportion to their weights: while
	// they are idle, and while they are busy if their speeds have the same
	// proportion.
	Weighted bool
	// AvoidsSlow means that a slow member gets few calls, also after the set of
	// members has changed.
	AvoidsSlow bool
	// WeightedKeys means that the keys are spread over the members by weight.
	WeightedKeys bool
	// MaxKeyMoves, unless 0, means that keyed calls use consistent hashing.
	// Members of the same weight have about the same number of keys. If a member
	// is unavailable, its keys move to many other members, and no other key
	// moves. If a member joins or leaves, at most MaxKeyMoves times as many keys
	// move as have to.
	MaxKeyMoves float64
	// LoadBound, unless 0, means that no member gets a keyed call beyond
	// (1 + LoadBound) times its share of the calls in flight, rounded up. A
	// member may have four calls in any case.
	LoadBound float64
}

// rule is one case of the suite.
type rule struct {
	name string
	// description is the rule of the contract as a sentence, for failures and
	// skips.
	description string
	// property is the field of Properties that the rule tests. Empty means that
	// the rule holds for all balancers.
	property string
	// long rules have one goroutine, and much to do. They take minutes under the
	// race detector, and it cannot find anything in them.
	long bool
	// check returns what broke the rule. It has no testing.T, so that the
	// suite's own tests can watch it fail.
	check func(r *run) error
}

// checkTimeout is how long a check may take. A check that takes longer is stuck.
const checkTimeout = 2 * time.Minute

// Run tests the balancers that newBalancer returns, in one subtest for each
// rule. Do not run it together with parallel tests: it counts allocations.
func Run(t *testing.T, newBalancer func() balance.Balancer, properties Properties) {
	t.Helper()
	for _, rule := range rules() {
		t.Run(rule.name, func(t *testing.T) {
			if reason := rule.skipReason(properties); reason != "" {
				t.Skipf("not checked: %s\ncontract: %s", reason, rule.description)
			}
			if err := rule.run(newBalancer, properties, checkTimeout); err != nil {
				t.Errorf("%v\ncontract: %s", err, rule.description)
			}
		})
	}
}

// rules returns the rules in the order of their subtests.
func rules() []rule {
	return slices.Concat(pickRules(), spreadRules(), keyRules(), reportRules(), concurrentRules())
}

// skipReason returns why Run skips the rule, or "" if it does not.
func (c rule) skipReason(p Properties) string {
	switch {
	case c.property != "" && reflect.ValueOf(p).FieldByName(c.property).IsZero():
		return "Properties." + c.property + " is not set"
	case c.long && raceEnabled:
		return "it takes too long under the race detector"
	default:
		return ""
	}
}

// run checks the rule. A panic or a timeout is an error.
func (c rule) run(newBalancer func() balance.Balancer, properties Properties, timeout time.Duration) error {
	done := make(chan error, 1)
	go func() { // ends with the check; a stuck check is abandoned
		defer func() {
			if v := recover(); v != nil {
				done <- fmt.Errorf("panic: %v", v)
			}
		}()
		done <- c.check(&run{properties, newBalancer})
	}()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("the check is not done after %v: a call does not return or takes far too long", timeout)
	}
}

// run is one case under way.
type run struct {
	Properties
	newBalancer func() balance.Balancer
}
