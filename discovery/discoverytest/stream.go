package discoverytest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// stream is one call of Watch and the sets that it has reported. Every stream
// also checks that no report overlaps another one or comes after the return,
// whatever its case tests.
type stream struct {
	watcher discovery.Watcher
	ctx     context.Context //nolint:containedctx // the context of the one call that the stream stands for
	cancel  context.CancelFunc
	timeout time.Duration
	// onReport runs inside report, with the watcher's own slice. nil does
	// nothing.
	onReport func([]discovery.Endpoint)

	// forgets: only the last report is kept.
	forgets bool

	inside atomic.Int32  // calls of report that are running
	ended  chan struct{} // closed when Watch has returned

	mu        sync.Mutex
	reports   [][]discovery.Endpoint
	news      chan struct{} // closed and replaced by each report
	violation error         // the first broken rule
	returned  bool
	err       error // what Watch returned

	// Only the check uses these:
	verified int  // the number of reports that verify has checked
	stuck    bool // Watch did not return in time
}

// watch starts a watch with w.
func (r *run) watch(ctx context.Context, w discovery.Watcher, onReport func([]discovery.Endpoint)) *stream {
	return r.keep(startStream(ctx, w, r.Timeout, onReport, false))
}

// watchLast starts a watch of which only the last report is kept.
func (r *run) watchLast(ctx context.Context, w discovery.Watcher) *stream {
	return r.keep(startStream(ctx, w, r.Timeout, nil, true))
}

func (r *run) keep(s *stream) *stream {
	r.streams = append(r.streams, s)
	return s
}

// startStream calls Watch in a goroutine. stop, run.awaitStreams and Follower.Stop wait for it.
func startStream(ctx context.Context, w discovery.Watcher, timeout time.Duration, onReport func([]discovery.Endpoint), last bool) *stream {
	s := &stream{
		watcher: w, timeout: timeout, onReport: onReport, forgets: last,
		ended: make(chan struct{}), news: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(ctx)
	go s.run()
	return s
}

func (s *stream) run() {
	err := s.watcher.Watch(s.ctx, s.report)
	s.mu.Lock()
	s.returned, s.err = true, err
	s.mu.Unlock()
	if s.inside.Load() > 0 {
		s.violated("Watch returned while report was still running")
	}
	close(s.ended)
}

func (s *stream) report(set []discovery.Endpoint) {
	if s.inside.Add(1) > 1 {
		s.violated("Watch called report while an earlier report was still running")
	}
	defer s.inside.Add(-1)

	s.mu.Lock()
	late := s.returned
	if s.forgets {
		s.reports = nil
	}
	s.reports = append(s.reports, slices.Clone(set))
	close(s.news)
	s.news = make(chan struct{})
	s.mu.Unlock()
	if late {
		s.violated("the watcher called report after Watch had returned, with %s", show(set))
	}
	if s.onReport != nil {
		s.onReport(set)
	}
}

func (s *stream) violated(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.violation == nil {
		s.violation = fmt.Errorf(format, args...)
	}
}

// streamState is a consistent copy of the state of a stream.
type streamState struct {
	reports   [][]discovery.Endpoint
	news      <-chan struct{}
	violation error
	returned  bool
	err       error
}

func (s *stream) state() streamState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return streamState{slices.Clone(s.reports), s.news, s.violation, s.returned, s.err}
}

// until waits until ok is true of all reports so far. what names the awaited
// thing in the error.
func (s *stream) until(what string, ok func(reports [][]discovery.Endpoint) bool) error {
	late := time.NewTimer(s.timeout)
	defer late.Stop()
	for {
		now := s.state()
		switch {
		case now.violation != nil:
			return now.violation
		case ok(now.reports):
			return nil
		case now.returned:
			return fmt.Errorf("Watch returned %v before it reported %s; %s", now.err, what, showLast(now.reports))
		}
		select {
		case <-now.news:
		case <-s.ended:
		case <-late.C:
			return fmt.Errorf("Watch did not report %s within %v; %s", what, s.timeout, showLast(now.reports))
		}
	}
}

// awaitFirst waits for the first report.
func (s *stream) awaitFirst() error {
	return s.until("anything", func(reports [][]discovery.Endpoint) bool { return len(reports) > 0 })
}

// await waits until the last report is want. The registry held the sets in
// earlier, in this order, and then want; each report since the last check must
// be possible between them.
func (s *stream) await(want []discovery.Endpoint, earlier ...[]discovery.Endpoint) error {
	held := append(slices.Clone(earlier), want)
	var wrong error
	err := s.until(show(want), func(reports [][]discovery.Endpoint) bool {
		wrong = s.verify(held...)
		return wrong != nil || len(reports) > 0 && same(reports[len(reports)-1], want)
	})
	// A wrong report explains more than a Watch that has returned.
	if wrong == nil {
		wrong = s.verify(held...)
	}
	return cmp.Or(wrong, err)
}

// settle waits until the last report is want, and checks that no older set
// follows it.
func (s *stream) settle(want []discovery.Endpoint, earlier ...[]discovery.Endpoint) error {
	if err := s.await(want, earlier...); err != nil {
		return err
	}
	if err := waitQuiet(s.ctx); err != nil {
		return err
	}
	if err := s.await(want); err != nil {
		return fmt.Errorf("after Watch had reported the last set: %w", err)
	}
	return nil
}

// verify checks the reports since the last verify against the sets that the
// registry has held since then.
func (s *stream) verify(held ...[]discovery.Endpoint) error {
	reports := s.state().reports
	for ; s.verified < len(reports); s.verified++ {
		if err := between(held, reports[s.verified]); err != nil {
			return fmt.Errorf("report %d was %s: %w", s.verified+1, show(reports[s.verified]), err)
		}
	}
	return nil
}

// stop cancels the watch and checks how Watch returns.
func (s *stream) stop() error {
	s.cancel()
	return s.awaitReturn()
}

// awaitReturn checks how Watch returns. The context of the watch has ended.
func (s *stream) awaitReturn() error {
	if err := s.awaitEnd(); err != nil {
		return err
	}
	now := s.state()
	if now.violation != nil {
		return now.violation
	}
	if now.err == nil {
		return errors.New("Watch returned nil")
	}
	if !errors.Is(now.err, s.ctx.Err()) {
		return fmt.Errorf("Watch returned %q, which does not match its context's error %q", now.err, s.ctx.Err())
	}
	return nil
}

// awaitEnd waits until Watch has returned anything.
func (s *stream) awaitEnd() error {
	limit := returnTimeout
	if s.forgets {
		limit = hostileReturnTimeout
	}
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-s.ended:
		return nil
	case <-late.C:
		s.stuck = true
		return fmt.Errorf("Watch had not returned %v after its context ended", limit)
	}
}
