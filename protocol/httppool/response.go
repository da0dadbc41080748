package httppool

import (
	"errors"
	"io"
	"net/http"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

// bindLease makes the lease end with the body of the response; at once if it has
// none.
func bindLease(resp *http.Response, lease core.Lease[*Conn]) {
	switch rwc, ok := resp.Body.(io.ReadWriteCloser); {
	case ok:
		resp.Body = &upgradedBody{ReadWriteCloser: rwc, lease: lease}
	case resp.Body == http.NoBody || resp.ContentLength == 0 || resp.Request.Method == http.MethodHead:
		release(lease, resp)
	default:
		resp.Body = &responseBody{rc: resp.Body, resp: resp, lease: lease}
	}
}

// release ends the lease of a response that was read to its end.
func release(lease core.Lease[*Conn], resp *http.Response) {
	if c := lease.Conn(); c == nil || resp.Close || c.ended() {
		_ = lease.Discard(nil)
	} else {
		_ = lease.Release()
	}
}

// responseBody holds the lease until it was read to its end, broke off, or was
// closed. Ending a lease again does nothing, so the order does not matter.
type responseBody struct {
	rc    io.ReadCloser
	resp  *http.Response
	lease core.Lease[*Conn]
}

func (b *responseBody) Read(p []byte) (int, error) {
	n, err := b.rc.Read(p)
	switch {
	case err == nil:
	case err == io.EOF:
		release(b.lease, b.resp)
	case errors.Is(err, http.ErrBodyReadAfterClose):
		b.abandon(nil)
	default:
		if b.resp.Request.Context().Err() == nil && !b.cut() {
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

// abandon ends the lease of a response of which more may come. That ends an
// HTTP/1.1 connection too.
func (b *responseBody) abandon(cause error) {
	if c := b.lease.Conn(); c != nil && c.http2 && !c.ended() {
		_ = b.lease.Release()
	} else {
		_ = b.lease.Discard(cause)
	}
}

// cut reports whether the pool itself has closed the connection.
func (b *responseBody) cut() bool {
	c := b.lease.Conn()
	return c != nil && c.cut.Load()
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
