package plugintest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// AwaitWarning waits until a watch of w warns with a text that has all of parts.
func AwaitWarning(t *testing.T, w discovery.Watcher, parts ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	last := "none"
	found := false
	discovery.Follow(ctx, w, discovery.Follower{Warned: func(err error) {
		if err == nil {
			return
		}
		last = err.Error()
		for _, part := range parts {
			if !strings.Contains(last, part) {
				return
			}
		}
		found = true
		cancel()
	}})
	if !found {
		t.Errorf("the last warning is %s\nwant one with %q", last, parts)
	}
}
