package discoverytest

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

func TestEachBrokenWatcherIsCaught(t *testing.T) {
	canFail := make(map[string]bool) // rules that catch a broken watcher
	for _, b := range brokenWatchers(t) {
		for _, name := range b.caughtBy {
			canFail[name] = true
		}
		t.Run(b.name, func(t *testing.T) {
			for _, name := range b.caughtBy {
				wantCaught(t, slices.Concat(watcherRules(), hostileRules()), name, b.fixture(t), b.wantErr)
			}
		})
	}
	for _, rule := range slices.Concat(watcherRules(), hostileRules()) {
		if !canFail[rule.name] {
			t.Errorf("no broken watcher shows that rule %s can fail", rule.name)
		}
	}
}

// wantCaught checks that the rule of that name fails with an error that
// contains wantErr.
func wantCaught(t *testing.T, rules []rule, name string, f Fixture, wantErr string) {
	t.Helper()
	i := slices.IndexFunc(rules, func(r rule) bool { return r.name == name })
	if i < 0 {
		t.Fatalf("there is no rule %s", name)
	}
	f.Timeout, f.MaxMemory = 200*time.Millisecond, 48<<20 // it has to expire
	err := rules[i].run(t.Context(), f, t.Logf)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		t.Errorf("%s was skipped: %v", name, err)
	case err == nil:
		t.Errorf("%s did not catch the mistake", name)
	case !strings.Contains(err.Error(), wantErr):
		t.Errorf("%s failed with %q, want an error with %q", name, err, wantErr)
	default:
		t.Logf("%s: %s", name, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
}

func (b brokenWatcher) fixture(t *testing.T) Fixture {
	t.Helper()
	var f Fixture
	if b.lines != nil {
		f = newLineService(t, b.lines).fixture()
	} else {
		s := newFakeService(b.watch)
		s.invalid = b.invalid
		f = s.fixture()
	}
	f.Scale = 500
	return f
}

func TestAWatcherThatWorksIsNotCaught(t *testing.T) {
	Run(t, func(*testing.T) Fixture { return newFakeService(good).fixture() })
	RunHostile(t, func(*testing.T) Fixture { return newFakeService(retried(good)).fixture() })
}

func TestAWatcherThatWorksThroughAProxyIsNotCaught(t *testing.T) {
	Run(t, func(t *testing.T) Fixture {
		f := newLineService(t, untilDot).fixture()
		f.Scale = 500
		return f
	})
}

// TestASkipNamesTheMissingField runs all rules with required fields alone.
func TestASkipNamesTheMissingField(t *testing.T) {
	var skips []string
	run := func(rules []rule, f Fixture) {
		for _, rule := range rules {
			switch err := rule.run(t.Context(), f, t.Logf); {
			case errors.Is(err, errors.ErrUnsupported):
				skips = append(skips, err.Error())
			case err != nil:
				t.Errorf("%s: %v", rule.name, err)
			}
		}
	}
	service, registry := newFakeService(good).fixture(), newFakeRegistry(goodRegister).fixture()
	run(slices.Concat(foreignRules(), leakRules(), connectionRules(), lossRules(), scaleRules(), hostileRules()),
		Fixture{Watcher: service.Watcher, Put: service.Put, Close: service.Close, Scale: 500})
	run(registrarRules(),
		Fixture{Registrar: registry.Registrar, Entries: registry.Entries, Close: registry.Close})

	for _, field := range reflect.VisibleFields(reflect.TypeFor[Fixture]()) {
		required := slices.Contains([]string{"Watcher", "Put", "Registrar", "Entries", "Close"}, field.Name)
		setting := slices.Contains([]string{"TTL", "Timeout", "Scale", "Seed", "MaxMemory"}, field.Name)
		named := slices.ContainsFunc(skips, func(s string) bool { return strings.Contains(s, "Fixture."+field.Name+" is ") })
		if named == (required || setting) {
			t.Errorf("a skip names field %s: %v", field.Name, named)
		}
	}
}

func TestAMissingRequiredFieldFailsTheCase(t *testing.T) {
	service, registry := newFakeService(good).fixture(), newFakeRegistry(goodRegister).fixture()
	for _, c := range []struct {
		field string
		rule  rule
		f     Fixture
	}{
		{"Watcher", watcherRules()[0], Fixture{Put: service.Put, Close: service.Close}},
		{"Put", watcherRules()[0], Fixture{Watcher: service.Watcher, Close: service.Close}},
		{"Close", watcherRules()[0], Fixture{Watcher: service.Watcher, Put: service.Put}},
		{"Registrar", registrarRules()[0], Fixture{Entries: registry.Entries, Close: registry.Close}},
		{"Entries", registrarRules()[0], Fixture{Registrar: registry.Registrar, Close: registry.Close}},
		{"Close", registrarRules()[0], Fixture{Registrar: registry.Registrar, Entries: registry.Entries}},
	} {
		err := c.rule.run(t.Context(), c.f, t.Logf)
		if err == nil || errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "Fixture."+c.field+" is nil") {
			t.Errorf("without %s: error %v", c.field, err)
		}
	}
}

func TestANilResultOfAFixtureFailsTheCase(t *testing.T) {
	service, registry := newFakeService(good).fixture(), newFakeRegistry(goodRegister).fixture()
	service.Watcher = func() (discovery.Watcher, error) { return nil, nil }
	registry.Registrar = func() (discovery.Registrar, error) { return nil, nil }
	cutless := newFakeService(good).fixture()
	cutless.Cut = func(context.Context) (func() error, error) { return nil, nil }
	for _, c := range []struct {
		field string
		rule  rule
		f     Fixture
	}{
		{"Watcher", watcherRules()[0], service},
		{"Registrar", registrarRules()[0], registry},
		{"Cut", connectionRules()[0], cutless},
	} {
		err := c.rule.run(t.Context(), c.f, t.Logf)
		if err == nil || !strings.Contains(err.Error(), "Fixture."+c.field+": the returned ") {
			t.Errorf("with nil from %s: error %v", c.field, err)
		}
	}
}

func TestRulesHaveNamesAndDescriptions(t *testing.T) {
	for _, rules := range [][]rule{watcherRules(), registrarRules(), hostileRules()} {
		seen := make(map[string]bool)
		for _, rule := range rules {
			if seen[rule.name] || rule.description == "" {
				t.Errorf("rule %q has the name of another, or no description", rule.name)
			}
			seen[rule.name] = true
		}
	}
}
