package discovery_test

import (
	"context"
	"errors"
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

func TestWarningsOfAWatchWithinAWatchReachTheOuterOne(t *testing.T) {
	odd := errors.New("odd")
	inner := watchFunc(func(ctx context.Context, _ func([]discovery.Endpoint)) error {
		discovery.ReportWarning(ctx, odd)
		discovery.ReportWarning(ctx, nil)
		<-ctx.Done()
		return ctx.Err()
	})
	outer := watchFunc(func(ctx context.Context, _ func([]discovery.Endpoint)) error {
		discovery.Follow(ctx, inner, discovery.Follower{})
		return ctx.Err()
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var warnings []error
	discovery.Follow(ctx, outer, discovery.Follower{Warned: func(err error) {
		if warnings = append(warnings, err); len(warnings) == 2 {
			cancel()
		}
	}})
	if len(warnings) != 2 || !errors.Is(warnings[0], odd) || warnings[1] != nil {
		t.Errorf("the warnings are %v, want %v and none", warnings, odd)
	}
	discovery.ReportWarning(t.Context(), odd) // nobody listens
}

func TestSetWarnsOfWhatItSkips(t *testing.T) {
	var n int
	s := discovery.NewSet(words(&n), nil)
	s.Replace(entries(map[string]string{"1": "a:1", "2": "b:1"}))
	if err := s.Warning(); err != nil {
		t.Errorf("a set without a fault warns: %v", err)
	}
	s.Put("3", []byte("c:1 !"))
	const want = `discovery: 1 of 3 entries are skipped; the last one, "3": malformed`
	if err := s.Warning(); err == nil || err.Error() != want {
		t.Errorf("the warning is %v, want %s", err, want)
	}
	s.Put("3", []byte("c:1"))
	if err := s.Warning(); err != nil {
		t.Errorf("when it is mended, the set warns: %v", err)
	}
}
