//go:build go1.26

package httppool

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

// bindLease makes the lease end with the body of the response; at once if it has
// none.
func bindLease(resp *http.Response, lease core.Lease[*Conn]) {
	conn := lease.Conn()
	switch rwc, ok := resp.Body.(io.ReadWriteCloser); {
	case ok:
		conn.endRequest()
		resp.Body = &upgradedBody{ReadWriteCloser: rwc, lease: lease}
	case resp.Body == http.NoBody || resp.ContentLength == 0 || resp.Request.Method == http.MethodHead:
		conn.endRequest()
		release(lease, conn, resp)
	default:
		resp.Body = &responseBody{rc: resp.Body, resp: resp, lease: lease, conn: conn}
	}
}

// release ends the lease of a response that was read to its end.
func release(lease core.Lease[*Conn], conn *Conn, resp *http.Response) {
	if resp.Close || conn.ended() {
		_ = lease.Discard(nil)
	} else {
		_ = lease.Release()
	}
}

// responseBody holds the lease until it was read to its end, broke off, or was
// closed, whichever is first.
type responseBody struct {
	rc    io.ReadCloser
	resp  *http.Response
	lease core.Lease[*Conn]
	conn  *Conn
	ended atomic.Bool
}

func (b *responseBody) Read(p []byte) (int, error) {
	n, err := b.rc.Read(p)
	switch {
	case err == nil:
	case err == io.EOF:
		if b.end() {
			release(b.lease, b.conn, b.resp)
		}
	case errors.Is(err, http.ErrBodyReadAfterClose):
		b.abandon(nil)
	default:
		if b.resp.Request.Context().Err() == nil && !b.conn.cut.Load() {
			b.lease.Report(balance.Report{Outcome: balance.OutcomeFailure})
		}
		b.abandon(err)
	}
	return n, err
}

func (b *responseBody) Close() error {
	err := b.rc.Close()
	b.abandon(nil)
	return err
}

// end ends the request on the connection. It reports whether the caller must end
// the lease.
func (b *responseBody) end() bool {
	if b.ended.Swap(true) {
		return false
	}
	b.conn.endRequest()
	return true
}

// abandon ends the lease of a response of which more may come. That ends an
// HTTP/1.1 connection too.
func (b *responseBody) abandon(cause error) {
	switch {
	case !b.end():
	case b.conn.http2 && !b.conn.ended():
		_ = b.lease.Release()
	default:
		_ = b.lease.Discard(cause)
	}
}

// endWithBody calls f, once, when the body of the response ends; at once if it has
// none or is the connection itself.
func endWithBody(resp *http.Response, f func()) {
	if _, ok := resp.Body.(io.Writer); ok || resp.Body == http.NoBody {
		f()
	} else {
		resp.Body = &endingBody{resp.Body, sync.OnceFunc(f)}
	}
}

// endingBody calls a function when it ends.
type endingBody struct {
	io.ReadCloser

	end func()
}

func (b *endingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.end()
	}
	return n, err
}

func (b *endingBody) Close() error {
	err := b.ReadCloser.Close()
	b.end()
	return err
}

// upgradedBody is the connection itself, after a 101. It is leased until it is
// closed.
type upgradedBody struct {
	io.ReadWriteCloser

	lease core.Lease[*Conn]
}

// CloseWrite tells the peer that nothing more will be written.
func (b *upgradedBody) CloseWrite() error {
	if c, ok := b.ReadWriteCloser.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (b *upgradedBody) Close() error {
	err := b.ReadWriteCloser.Close()
	_ = b.lease.Discard(nil)
	return err
}
