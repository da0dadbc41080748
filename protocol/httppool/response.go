package httppool

import (
	"bytes"
	"errors"
	"io"
	"net/http"

	"github.com/minicaptain/multi_connection_pool/core"
)

// settled gives the response its body, whose end is the end of the lease; where
// there is none, the lease ends at once.
func settled(resp *http.Response, lease core.Lease[*Conn]) {
	switch rwc, ok := resp.Body.(io.ReadWriteCloser); {
	case ok:
		resp.Body = &upgraded{ReadWriteCloser: rwc, lease: lease}
	case resp.Body == http.NoBody || resp.ContentLength == 0 || resp.Request.Method == http.MethodHead:
		release(lease, resp)
	default:
		resp.Body = &body{rc: resp.Body, resp: resp, lease: lease}
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

// body is the body of a response. It holds the lease until it was read to its
// end, broke off, or was closed. Ending a lease again does nothing, so nobody
// needs to know which of these comes first.
type body struct {
	rc    io.ReadCloser
	resp  *http.Response
	lease core.Lease[*Conn]
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.rc.Read(p)
	switch {
	case err == nil:
	case err == io.EOF:
		release(b.lease, b.resp)
	case errors.Is(err, http.ErrBodyReadAfterClose):
		b.abandon(nil)
	default:
		if b.resp.Request.Context().Err() == nil && !b.cut() {
			b.lease.Report(core.Report{Class: core.Failure})
		}
		b.abandon(err)
	}
	return n, err
}

func (b *body) Close() error {
	err := b.rc.Close()
	b.abandon(nil)
	return err
}

// abandon ends the lease of a response of which more may come: on HTTP/1.1 that
// is the end of the connection, too.
func (b *body) abandon(cause error) {
	if c := b.lease.Conn(); c != nil && c.http2 && !c.ended() {
		_ = b.lease.Release()
	} else {
		_ = b.lease.Discard(cause)
	}
}

func (b *body) cut() bool {
	c := b.lease.Conn()
	return c != nil && c.cut.Load()
}

// upgraded is the connection itself, after a 101: it is leased until it is
// closed.
type upgraded struct {
	io.ReadWriteCloser

	lease core.Lease[*Conn]
}

// CloseWrite tells the peer that no more will be written.
func (u *upgraded) CloseWrite() error {
	if c, ok := u.ReadWriteCloser.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (u *upgraded) Close() error {
	err := u.ReadWriteCloser.Close()
	_ = u.lease.Discard(nil)
	return err
}

// maxAbsorbed is the largest body of a response that is set aside in favour of
// one from another server.
const maxAbsorbed = 64 << 10

// absorb reads the rest of the response into memory, which frees its
// connection, and reports whether it could. If not, the response is as it was.
func absorb(resp *http.Response) bool {
	if _, ok := resp.Body.(io.Writer); ok || resp.ContentLength > maxAbsorbed {
		return false
	}
	rest := resp.Body
	data, err := io.ReadAll(io.LimitReader(rest, maxAbsorbed+1))
	if err == nil && len(data) <= maxAbsorbed {
		err = rest.Close()
		resp.Body = io.NopCloser(bytes.NewReader(data))
		return err == nil
	}
	resp.Body = rejoined{io.MultiReader(bytes.NewReader(data), failing{err, rest}), rest}
	return false
}

// rejoined is a body of which some was read.
type rejoined struct {
	io.Reader
	io.Closer
}

// failing gives the error that the body broke off with, or reads on.
type failing struct {
	err  error
	rest io.Reader
}

func (f failing) Read(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return f.rest.Read(p)
}
