package protocoltest

import (
	"context"
	"errors"
	"testing"
)

// rule is one case of the suite.
type rule struct {
	name string
	// description is what the server does, for failures and skips.
	description string
	// check returns nil if the client takes no harm, an error that matches
	// errors.ErrUnsupported if the fixture lacks what check needs, or else what is
	// wrong. It has no testing.T, so that the suite's own tests can watch it fail.
	check func(ctx context.Context, r *run) error
}

// Run tests the client of the fixtures that newFixture returns. Do not run it
// together with parallel tests: it measures the memory and counts the goroutines of
// the process.
func Run(t *testing.T, newFixture func(t *testing.T) Fixture) {
	t.Helper()
	for _, rule := range rules() {
		t.Run(rule.name, func(t *testing.T) {
			err := rule.run(t.Context(), newFixture(t), t.Logf)
			switch {
			case errors.Is(err, errors.ErrUnsupported):
				t.Skipf("not checked: %v\nthe server: %s", err, rule.description)
			case err != nil:
				t.Errorf("%v\nthe server: %s", err, rule.description)
			}
		})
	}
}

func (c rule) run(ctx context.Context, f Fixture, logf func(string, ...any)) error {
	f.setDefaults()
	switch {
	case f.Client == nil:
		return errors.New("Fixture.Client is nil, but the suite requires it")
	case f.Server == nil:
		return errors.New("Fixture.Server and Fixture.Read are nil, but the suite requires one of them")
	}
	return c.check(ctx, &run{Fixture: f, logf: logf})
}
