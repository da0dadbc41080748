//go:build go1.26

package httppool

import (
	"net/http"
	"sync"
	"time"
)

// streamTimeouts are the header timeouts of requests on HTTP/2, where many share a
// connection. They count from the beginning, so that a request which waits since
// its server allows no more streams is bounded too.
type streamTimeouts struct {
	limit time.Duration
	now   func() time.Duration
	idle  sync.Pool // of *streamTimeout
}

// streamTimeout is a headerTimeout that cancels one request.
type streamTimeout struct {
	headerTimeout

	cancel chan struct{}
	once   sync.Once
}

func newStreamTimeouts(limit time.Duration, now func() time.Duration) *streamTimeouts {
	return &streamTimeouts{limit: limit, now: now}
}

// begin returns the timeout of a request, whose Cancel it sets; nil if there is no
// limit.
func (s *streamTimeouts) begin(req *http.Request, within time.Duration) *streamTimeout {
	if s.limit == 0 && within == 0 {
		return nil
	}
	t, _ := s.idle.Get().(*streamTimeout)
	if t == nil {
		t = &streamTimeout{}
		t.init(s.limit, s.now, func() { t.once.Do(func() { close(t.cancel) }) })
	}
	t.cancel = make(chan struct{})
	req.Cancel = t.cancel //nolint:staticcheck // cheaper than a context, and net/http honors it
	return t
}

// end takes back the timeout of a request that has ended in time and has no body,
// whose reader may still use it.
func (s *streamTimeouts) end(t *streamTimeout) { s.idle.Put(t) }
