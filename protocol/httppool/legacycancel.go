//go:build go1.26

package httppool

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// cancelContext is the context of a request that also has the deprecated
// [http.Request.Cancel], as those of every http.Client with a Timeout do. It ends
// with whichever ends first.
type cancelContext struct {
	context.Context //nolint:containedctx // that of the request

	canceled <-chan struct{}
	over     chan struct{} // closed by end

	once sync.Once
	done chan struct{}
}

func newCancelContext(req *http.Request) *cancelContext {
	return &cancelContext{
		Context:  req.Context(),
		canceled: req.Cancel, //nolint:staticcheck // it is honored while net/http does
		over:     make(chan struct{}),
	}
}

// end releases what the context holds.
func (c *cancelContext) end() { close(c.over) }

// Err returns what ended the context. A client's Timeout closes the channel when
// the deadline passes, and may come first.
func (c *cancelContext) Err() error {
	if err := c.Context.Err(); err != nil {
		return err
	}
	select {
	case <-c.canceled:
	default:
		return nil
	}
	if end, ok := c.Deadline(); ok && !time.Now().Before(end) {
		return context.DeadlineExceeded
	}
	return context.Canceled
}

// Done is asked for by those who wait, which most requests do not.
func (c *cancelContext) Done() <-chan struct{} {
	c.once.Do(func() {
		c.done = make(chan struct{})
		go func() { // ends with the request
			select {
			case <-c.canceled:
			case <-c.Context.Done():
			case <-c.over:
				return
			}
			close(c.done)
		}()
	})
	return c.done
}

// cancelable calls send with a request whose context stands for its Cancel too.
func cancelable(req *http.Request, send func(*http.Request) (*http.Response, error)) (*http.Response, error) {
	if req.Cancel == nil { //nolint:staticcheck // as above
		return send(req)
	}
	ctx := newCancelContext(req)
	own := req.WithContext(ctx)
	own.Cancel = nil //nolint:staticcheck // as above
	resp, err := send(own)
	if err != nil {
		ctx.end()
		return nil, err
	}
	resp.Request = req
	endWithBody(resp, ctx.end)
	return resp, nil
}
