package discovery

import (
	"context"

	"github.com/minicaptain/multi_connection_pool/internal/brief"
)

// warned is the key of the function that a context has for ReportWarning.
type warned struct{}

// withWarned returns a context under which ReportWarning calls f.
func withWarned(ctx context.Context, f func(error)) context.Context {
	return context.WithValue(ctx, warned{}, f)
}

// ReportWarning passes on, from within the Watch with this context, what a user should
// know of what the registry has, while the set is as it is reported: entries that are
// skipped, a format that fits none, servers that are somewhere else. It replaces the
// warning before it; nil means that there is none any more. See [Follower.Warned].
func ReportWarning(ctx context.Context, err error) {
	if f, ok := ctx.Value(warned{}).(func(error)); ok {
		f(brief.Error(err))
	}
}
