//go:build go1.26

package httppool

import (
	"context"
	"io"
	"net/http"
	"sync"
)

// requestBody is the body of one attempt. net/http closes it in any case. If
// net/http had not read from it by then and nothing was sent, the caller's body
// can be taken back and given to another attempt.
type requestBody struct {
	ctx     context.Context //nolint:containedctx // of the request
	timeout *headerTimeout
	want    int64 // the announced length; 0 or less = unknown

	mu      sync.Mutex
	body    io.ReadCloser // the caller's; nil once it was taken back
	begun   bool          // net/http has read from it
	closed  bool          // net/http has closed it
	settled bool          // it can no longer be taken back
	reading bool          // a read is under way
	late    bool          // the deadline of the request passed during a read
	got     int64         // bytes read
	broken  error         // the error of a read, or errLength
}

func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	body := b.body
	b.begun = true
	b.reading = body != nil
	before := b.ctx.Err() != nil
	b.mu.Unlock()
	if body == nil {
		return 0, errGone
	}
	b.timeout.pause()
	n, err := body.Read(p)
	b.timeout.resume()
	b.mu.Lock()
	b.got += int64(n)
	b.reading = false
	b.late = b.late || b.ctx.Err() != nil && !before
	switch {
	case err == nil:
	case err != io.EOF:
		b.broken = err
	case b.want > 0 && b.got != b.want:
		b.broken = errLength
	}
	b.mu.Unlock()
	return n, err
}

func (b *requestBody) Close() error {
	b.mu.Lock()
	b.closed = true
	body := b.body
	if !b.begun && !b.settled {
		body = nil // answered or takeBack decides
	}
	b.mu.Unlock()
	if body == nil {
		return nil
	}
	return body.Close()
}

// answered ends the attempt with a response. From now on net/http closes the
// body, which it may still be reading.
func (b *requestBody) answered() {
	b.mu.Lock()
	var left io.ReadCloser
	if b.closed && !b.begun {
		left = b.body
	}
	b.settled = true
	b.mu.Unlock()
	if left != nil {
		_ = left.Close() // net/http, which has closed it, ignores the error
	}
}

// failed ends the attempt without a response: net/http can no longer get at the
// body. If unprocessed is set and nothing was read, failed returns the body for
// another attempt; otherwise it makes sure that the body is closed.
func (b *requestBody) failed(unprocessed bool) io.ReadCloser {
	b.mu.Lock()
	body := b.body
	b.body, b.settled = nil, true
	begun, closed := b.begun, b.closed
	b.mu.Unlock()
	switch {
	case unprocessed && !begun:
		return body
	case !begun || !closed:
		_ = body.Close() // as above
	}
	return nil
}

// isLate reports whether the deadline of the request passed while the caller's reader had
// nothing yet.
func (b *requestBody) isLate() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.late || b.reading
}

// err returns the error that broke the body off, or nil.
func (b *requestBody) err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.broken
}

func hasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }

// replayable reports whether the body of the request can be had once more.
func replayable(req *http.Request) bool { return !hasBody(req) || req.GetBody != nil }

// nextBody returns the body for the attempt after last, which is nil at first.
func nextBody(req *http.Request, last *failure) (io.ReadCloser, error) {
	switch {
	case last == nil || !hasBody(req):
		return req.Body, nil
	case last.unread != nil:
		return last.unread, nil
	case req.GetBody != nil:
		return req.GetBody()
	default:
		return nil, errGone
	}
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close() // nobody could use the error
	}
}
