package httppool

import (
	"context"
	"io"
	"net/http"
	"sync"

	"github.com/minicaptain/multi_connection_pool/core"
)

// Hedged sets which requests are sent a second time, to another server, when
// they are late: see [core.Hedged] for when that is. The first response counts,
// and the other request is cancelled. It implies [IdempotentFunc] for them;
// without the option it is none. Requests that have a body, or ask for an
// upgrade, are never hedged. f must be safe for concurrent use.
//
// A request that is hedged costs a goroutine and some allocations more. Its
// header and the hooks of httptrace in its context serve both at the same time.
func Hedged(f func(*http.Request) bool) Option {
	return func(s *service) { s.hedged = f }
}

func none(*http.Request) bool { return false }

// twice reports whether the request is hedged.
func (s *service) twice(req *http.Request) bool {
	return s.hedged(req) && !hasBody(req) && req.Header.Get("Upgrade") == ""
}

// hedge sends a request that is sent again when it is late.
func (s *service) hedge(req *http.Request) (resp *http.Response, err error) {
	var r race
	defer func() { r.end(resp) }()
	resp, err = core.HedgedCall(req.Context(), s.pool,
		func(ctx context.Context, leased func(string), opts ...core.CallOption) (*http.Response, error) {
			// The winner's response outlives this call, and so does its context.
			own, cancel := context.WithCancel(req.Context())
			unlink := context.AfterFunc(ctx, cancel)
			resp, err := s.roundTrip(req.WithContext(own), leased, opts) //nolint:contextcheck // it is made of the context of the request
			if err != nil {
				unlink()
				cancel()
				return nil, err
			}
			resp.Request = req
			if resp.Body == http.NoBody {
				cancel()
			} else {
				resp.Body = &ending{resp.Body, cancel}
			}
			if !r.win(resp) {
				_ = resp.Body.Close()
				<-ctx.Done() // which the winner brings: an error that came before it would count
				return nil, ctx.Err()
			}
			unlink()
			return resp, nil
		})
	if err != nil && req.Context().Err() != nil && resp == nil {
		err = explain(req, "", 0, core.Ignored, err)
	}
	return resp, err
}

// race is one request that is sent twice.
type race struct {
	mu   sync.Mutex
	over bool
	won  *http.Response
}

// win reports whether the response is the first, and wanted still.
func (r *race) win(resp *http.Response) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over || r.won != nil {
		return false
	}
	r.won = resp
	return true
}

// end notes what the caller gets: a response that came when the request had
// been given up is nobody's.
func (r *race) end(got *http.Response) {
	r.mu.Lock()
	r.over = true
	won := r.won
	r.mu.Unlock()
	if won != nil && won != got {
		_ = won.Body.Close()
	}
}

// ending is a body whose end is that of its request's context.
type ending struct {
	io.ReadCloser

	cancel context.CancelFunc
}

func (e *ending) Read(p []byte) (int, error) {
	n, err := e.ReadCloser.Read(p)
	if err != nil {
		e.cancel()
	}
	return n, err
}

func (e *ending) Close() error {
	err := e.ReadCloser.Close()
	e.cancel()
	return err
}
