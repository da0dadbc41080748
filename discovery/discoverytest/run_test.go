package discoverytest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEachBrokenWatcherIsCaught(t *testing.T) {
	shown := make(map[string]bool) // rules that were seen to fail
	for _, b := range broken(t) {
		t.Run(b.name, func(t *testing.T) {
			for _, name := range b.caughtBy {
				i := slices.IndexFunc(rules(), func(r rule) bool { return r.name == name })
				if i < 0 {
					t.Fatalf("there is no rule %s", name)
				}
				err := examine(t.Context(), brokenHarness(b), rules()[i], t.Logf)
				switch {
				case errors.Is(err, errors.ErrUnsupported):
					t.Errorf("%s was skipped: %v", name, err)
				case err == nil:
					t.Errorf("%s did not catch it", name)
				case !strings.Contains(err.Error(), b.says):
					t.Errorf("%s says %q, want it to say %q", name, err, b.says)
				default:
					t.Logf("%s: %s", name, strings.ReplaceAll(err.Error(), "\n", "; "))
				}
				shown[name] = true
			}
		})
	}
	for _, r := range rules() {
		if !shown[r.name] {
			t.Errorf("no broken watcher shows that rule %s can fail", r.name)
		}
	}
}

func brokenHarness(b brokenWatcher) Harness {
	return Harness{
		NewPlace: func(context.Context) (Place, error) {
			if b.lines != nil {
				return newLinePlace(b.lines)
			}
			p := newFakePlace(b.watch)
			p.invalid = b.invalid
			return p, nil
		},
		Timeout: 200 * time.Millisecond, // it is meant to run out
		Scale:   500,
	}
}

func TestAWatcherThatWorksIsNotCaught(t *testing.T) {
	Run(t, Harness{NewPlace: func(context.Context) (Place, error) { return newFakePlace(good), nil }})
}

func TestAWatcherThatWorksThroughAProxyIsNotCaught(t *testing.T) {
	Run(t, Harness{
		NewPlace: func(context.Context) (Place, error) { return newLinePlace(untilDot) },
		Scale:    500,
	})
}

func TestASkipNamesWhatThePlaceLacks(t *testing.T) {
	// Embedded as a Place, the registry shows no capability.
	type bare struct{ Place }
	h := Harness{NewPlace: func(context.Context) (Place, error) { return bare{newFakePlace(good)}, nil }}
	for _, r := range slices.Concat(foreignRules(), linkRules(), lossRules()) {
		err := examine(t.Context(), h, r, t.Logf)
		if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "the place is no ") {
			t.Errorf("%s: %v", r.name, err)
		}
	}
}

func TestRulesHaveNamesAndSentences(t *testing.T) {
	seen := make(map[string]bool)
	for _, r := range rules() {
		if seen[r.name] || r.says == "" {
			t.Errorf("rule %q has the name of another, or no sentence", r.name)
		}
		seen[r.name] = true
	}
}
