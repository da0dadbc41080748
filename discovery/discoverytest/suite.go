package discoverytest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

const (
	defaultTimeout   = 10 * time.Second
	defaultScale     = 10_000
	defaultMaxMemory = 256 << 20
	// returnTimeout is how long Watch may take to return after its context has
	// ended, on a busy machine.
	returnTimeout = 2 * time.Second
	// quietTime is how long nothing must happen before the suite concludes
	// that nothing will. It starts after a sign that the change has arrived.
	quietTime = 50 * time.Millisecond
)

// rule is one case of a suite.
type rule struct {
	name string
	// description is the rule of the contract as a sentence, for failures and
	// skips.
	description string
	// check returns nil if the rule holds, an error that matches
	// errors.ErrUnsupported if the fixture lacks what check needs, or else
	// what broke the rule. It has no testing.T, so that the suite's own tests
	// can watch it fail.
	check func(ctx context.Context, r *run) error
}

// Run tests the watchers of the fixtures that newFixture returns, in one
// subtest for each rule of [discovery.Watcher]. Do not run it together with
// parallel tests: it counts the goroutines and open files of the process.
func Run(t *testing.T, newFixture func(t *testing.T) Fixture) {
	t.Helper()
	runAll(t, watcherRules(), newFixture)
}

// RunRegistrar tests the registrars of the fixtures that newFixture returns,
// in one subtest for each rule of [discovery.Registrar]. Do not run it together
// with parallel tests.
func RunRegistrar(t *testing.T, newFixture func(t *testing.T) Fixture) {
	t.Helper()
	runAll(t, registrarRules(), newFixture)
}

// watcherRules returns the rules of Run in the order of their subtests.
func watcherRules() []rule {
	return slices.Concat(contentRules(), foreignRules(), reportRules(), cancelRules(), leakRules(), randomRules(),
		connectionRules(), lossRules(), scaleRules())
}

func runAll(t *testing.T, rules []rule, newFixture func(t *testing.T) Fixture) {
	t.Helper()
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			err := rule.run(t.Context(), newFixture(t), t.Logf)
			switch {
			case errors.Is(err, errors.ErrUnsupported):
				t.Skipf("not checked: %v\ncontract: %s", err, rule.description)
			case err != nil:
				t.Errorf("%v\ncontract: %s", err, rule.description)
			}
		})
	}
}

// run checks the rule with a fixture of its own, and closes that.
func (c rule) run(ctx context.Context, f Fixture, logf func(string, ...any)) (err error) {
	if f.Close == nil {
		return required("Close")
	}
	f.setDefaults()
	r := &run{Fixture: f, logf: logf}
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		r.awaitStreams()
		r.awaitRegistrations()
		r.awaitClaims(ctx)
		if cerr := f.Close(); cerr != nil && err == nil {
			err = fieldError("Close", cerr)
		}
	}()
	return c.check(ctx, r)
}
