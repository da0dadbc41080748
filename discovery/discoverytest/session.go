package discoverytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// session is one call of Watch and everything it reported. Whatever a case is
// about, a session also notes reports that overlap or come too late.
type session struct {
	w       core.Watcher
	ctx     context.Context //nolint:containedctx // the context of the one call that the session stands for
	cancel  context.CancelFunc
	timeout time.Duration
	// onReport runs inside report; nil for nothing. It is given the watcher's
	// own slice.
	onReport func([]core.Endpoint)

	inside atomic.Int32  // calls of report that are running
	ended  chan struct{} // closed when Watch has returned

	mu       sync.Mutex
	reports  [][]core.Endpoint
	news     chan struct{} // closed and replaced by each report
	breach   error         // the first sign of a broken rule
	returned bool
	err      error // what Watch returned

	// Only the check uses these:
	checked int  // reports that verify has seen
	stuck   bool // Watch was waited for in vain
}

// watch begins a watch with w.
func (x *exam) watch(ctx context.Context, w core.Watcher, onReport func([]core.Endpoint)) *session {
	s := &session{
		w: w, timeout: x.timeout, onReport: onReport,
		ended: make(chan struct{}), news: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(ctx)
	x.sessions = append(x.sessions, s)
	go s.run() // ends with Watch; stop and exam.awaitSessions wait for it
	return s
}

func (s *session) run() {
	err := s.w.Watch(s.ctx, s.report)
	s.mu.Lock()
	s.returned, s.err = true, err
	s.mu.Unlock()
	if s.inside.Load() > 0 {
		s.broke("Watch returned while report was still running")
	}
	close(s.ended)
}

func (s *session) report(set []core.Endpoint) {
	if s.inside.Add(1) > 1 {
		s.broke("report was called while an earlier report was still running")
	}
	defer s.inside.Add(-1)

	s.mu.Lock()
	late := s.returned
	s.reports = append(s.reports, slices.Clone(set))
	close(s.news)
	s.news = make(chan struct{})
	s.mu.Unlock()
	if late {
		s.broke("report was called after Watch had returned, with %s", show(set))
	}
	if s.onReport != nil {
		s.onReport(set)
	}
}

func (s *session) broke(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.breach == nil {
		s.breach = fmt.Errorf(format, args...)
	}
}

// view is a consistent copy of what a session knows.
type view struct {
	reports  [][]core.Endpoint
	news     <-chan struct{}
	breach   error
	returned bool
	err      error
}

func (s *session) view() view {
	s.mu.Lock()
	defer s.mu.Unlock()
	return view{slices.Clone(s.reports), s.news, s.breach, s.returned, s.err}
}

// until waits for a report after which ok holds of all reports. what says in
// the error what was waited for.
func (s *session) until(what string, ok func(reports [][]core.Endpoint) bool) error {
	late := time.NewTimer(s.timeout)
	defer late.Stop()
	for {
		v := s.view()
		switch {
		case v.breach != nil:
			return v.breach
		case ok(v.reports):
			return nil
		case v.returned:
			return fmt.Errorf("Watch returned %v while waiting for %s; %s", v.err, what, last(v.reports))
		}
		select {
		case <-v.news:
		case <-s.ended:
		case <-late.C:
			return fmt.Errorf("waited %v for %s; %s", s.timeout, what, last(v.reports))
		}
	}
}

// begun waits for the first report.
func (s *session) begun() error {
	return s.until("the first report", func(reports [][]core.Endpoint) bool { return len(reports) > 0 })
}

// await waits until the last report is want, coming from the sets in earlier:
// each report on the way must be one that can be seen between them.
func (s *session) await(want []core.Endpoint, earlier ...[]core.Endpoint) error {
	err := s.until(show(want), func(reports [][]core.Endpoint) bool {
		return len(reports) > 0 && same(reports[len(reports)-1], want)
	})
	// Even then: a wrong report tells more than one that is missing.
	if wrong := s.verify(append(slices.Clone(earlier), want)...); wrong != nil {
		return wrong
	}
	return err
}

// settle waits until the last report is want and stays so: an older set that
// comes late would stay too.
func (s *session) settle(want []core.Endpoint, earlier ...[]core.Endpoint) error {
	if err := s.await(want, earlier...); err != nil {
		return err
	}
	if err := rest(s.ctx); err != nil {
		return err
	}
	if err := s.await(want); err != nil {
		return fmt.Errorf("after the last set was reported: %w", err)
	}
	return nil
}

// verify checks the reports since the last verify against the sets that the
// registry held meanwhile.
func (s *session) verify(held ...[]core.Endpoint) error {
	reports := s.view().reports
	for ; s.checked < len(reports); s.checked++ {
		if err := between(held, reports[s.checked]); err != nil {
			return fmt.Errorf("report %d was %s: %w", s.checked+1, show(reports[s.checked]), err)
		}
	}
	return nil
}

// stop cancels the watch and checks how it ends.
func (s *session) stop() error {
	s.cancel()
	return s.returns()
}

// returns checks that Watch, whose context has ended, ends as it should.
func (s *session) returns() error {
	late := time.NewTimer(prompt)
	defer late.Stop()
	select {
	case <-s.ended:
	case <-late.C:
		s.stuck = true
		return fmt.Errorf("Watch had not returned %v after its context ended", prompt)
	}
	v := s.view()
	if v.breach != nil {
		return v.breach
	}
	if v.err == nil {
		return errors.New("Watch returned nil")
	}
	if !errors.Is(v.err, s.ctx.Err()) {
		return fmt.Errorf("Watch returned %q, which does not match its context's error %q", v.err, s.ctx.Err())
	}
	return nil
}
