package discovery

import "context"

// Watcher streams the set of endpoints from wherever it is kept.
//
// Watch blocks until ctx is done or the watch is lost, and returns why. It
// calls report, from one goroutine and never after returning, with the COMPLETE
// set at first and whenever it changes. A report that repeats the last set is
// allowed and costs nothing: [Follow] compares. An empty set means "the registry
// has none", also if the service does not exist (yet, or any more); any doubt (a
// partial read, an authentication failure, a filtered answer) is an error instead.
// The receiver may modify the slice during report,
// and does not keep it.
//
// Follow calls Watch again with back-off and keeps the last set meanwhile. A nil
// error before ctx is done counts as a lost watch.
//
// A Watcher may also implement
//
//	Validate() error
//
// which core.New calls once, and which connects to nothing, so that a mistake in
// its parameters, such as a secret's file that is not there, is reported by New
// instead of by the first Watch, and
//
//	Authoritative() bool
//
// which Follow calls from within each report: true says that the set being
// reported is the program's own decision, not the news of a registry that may
// be wrong. Such a set counts at once, without [Follower.RemovalGrace], and
//
//	String() string
//
// which names the place that it watches, without secrets, in the errors of a
// pool that has no endpoint.
type Watcher interface {
	Watch(ctx context.Context, report func([]Endpoint)) error
}
