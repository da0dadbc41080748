package discoverytest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const (
	// defaultTimeout is Harness.Timeout when that is zero.
	defaultTimeout = 10 * time.Second
	// defaultScale is Harness.Scale when that is zero.
	defaultScale = 10_000
	// prompt is how long Watch may take to return after its context ended.
	prompt = time.Second
	// quiet is how long nothing must happen for the suite to believe that
	// nothing will. It is used only after a sign that the news has arrived.
	quiet = 50 * time.Millisecond
)

// rule is one case of the suite: a sentence of the contract and its check.
type rule struct {
	name string
	says string
	// check returns nil, or what went against the rule, or an error matching
	// errors.ErrUnsupported when the place lacks what the check needs. It
	// returns errors instead of using a testing.T so that the suite's own
	// tests can watch it fail.
	check func(ctx context.Context, x *exam) error
}

// Run examines the watchers of h, one subtest for each rule of the contract.
// It must not run beside parallel tests: it counts the goroutines and open
// files of the process.
func Run(t *testing.T, h Harness) {
	t.Helper()
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			err := examine(t.Context(), h, r, t.Logf)
			switch {
			case errors.Is(err, errors.ErrUnsupported):
				t.Skipf("not checked: %v\ncontract: %s", err, r.says)
			case err != nil:
				t.Errorf("%v\ncontract: %s", err, r.says)
			}
		})
	}
}

// rules returns the whole suite, in the order of its subtests.
func rules() []rule {
	return slices.Concat(contentRules(), foreignRules(), reportRules(), endRules(), leakRules(), modelRules(),
		linkRules(), lossRules(), scaleRules())
}

// examine checks one rule at a place of its own.
func examine(ctx context.Context, h Harness, r rule, logf func(string, ...any)) (err error) {
	x := &exam{timeout: h.Timeout, scale: h.Scale, seed: h.Seed, logf: logf}
	if x.timeout == 0 {
		x.timeout = defaultTimeout
	}
	if x.scale == 0 {
		x.scale = defaultScale
	}
	if x.seed == 0 {
		x.seed = rand.Uint64()
	}
	ctx, cancel := context.WithCancel(ctx)
	place, err := h.NewPlace(ctx)
	if err != nil {
		cancel()
		return fmt.Errorf("no place to test at: %w", err)
	}
	x.place = place
	defer func() {
		cancel()
		x.awaitSessions()
		if cerr := place.Close(); cerr != nil && err == nil {
			err = fmt.Errorf("closing the place: %w", cerr)
		}
	}()
	return r.check(ctx, x)
}
