package survey_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/survey"
)

// mended watches as plugins do. The first Watch finds an entry that is skipped; when the
// second begins, the entry is right. Both are lost.
type mended struct{ watches int }

func (m *mended) Watch(ctx context.Context, report func([]discovery.Endpoint)) error {
	m.watches++
	set := format.PlainValue().NewSet("/svc", nil)
	var w survey.Warner
	look := func(key, value string) {
		set.Put(key, []byte(value))
		set.Report(report)
		w.Look(ctx, set, 1, func(context.Context) error { return nil })
	}
	if m.watches == 1 {
		set.Put("b", []byte("nonsense"))
	}
	look("a", "10.0.0.1:80")
	look("a", "10.0.0.2:80") // nothing that a warning is about
	if m.watches == 2 {
		look("c", "10.0.0.3:80") // likewise
	}
	return errors.New("away")
}

func TestWarningOfALostWatchIsTakenBackByTheNext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var warnings []error
	m := &mended{}
	discovery.Follow(ctx, m, discovery.Follower{
		Warned: func(err error) { warnings = append(warnings, err) },
		Lost: func(error, time.Duration) {
			if m.watches == 2 {
				cancel()
			}
		},
	})
	if len(warnings) != 2 || warnings[0] == nil || warnings[1] != nil {
		t.Errorf("the warnings are %v, want one and then none", warnings)
	}
}
