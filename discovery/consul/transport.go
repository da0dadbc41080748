package consul

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxAnswer bounds the body of an answer, in bytes. That of 10,000 instances has
// about 10 MB.
const maxAnswer = 64 << 20

var (
	errTooLarge = fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	errRedirect = errors.New("the agent answers with a redirect, which is not followed: the token would go with it")
)

// bounded is a transport whose answers are not larger than maxAnswer.
type bounded struct{ *http.Transport }

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.Transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.ContentLength > maxAnswer {
		_ = resp.Body.Close()
		return nil, errTooLarge
	}
	resp.Body = &boundedBody{resp.Body, maxAnswer}
	if read, ok := req.Context().Value(bodyReader{}).(func(io.Reader) error); ok && resp.StatusCode == http.StatusOK {
		resp.Body = &divertedBody{ReadCloser: resp.Body, read: read}
	}
	return resp, nil
}

// bodyReader is the key of a function in the context of a request.
type bodyReader struct{}

// withBodyReader returns a context for a request of Consul's own client for a list. read
// reads the body of the answer, if that is "200 OK", and the client gets an empty list in
// its place, or the error of read. By itself, the client decodes the whole list.
func withBodyReader(ctx context.Context, read func(body io.Reader) error) context.Context {
	return context.WithValue(ctx, bodyReader{}, read)
}

// divertedBody is an empty list in place of what read reads. What read leaves follows it,
// so that whoever drains the body can use the connection again.
type divertedBody struct {
	io.ReadCloser

	read func(body io.Reader) error
	rest io.Reader // nil before read
	err  error     // of read
}

func (d *divertedBody) Read(p []byte) (int, error) {
	if d.rest == nil {
		d.rest = io.MultiReader(strings.NewReader("[]"), d.ReadCloser)
		d.err = d.read(d.ReadCloser)
	}
	if d.err != nil {
		return 0, d.err
	}
	return d.rest.Read(p)
}

// boundedBody fails instead of ending when more than is left follows.
type boundedBody struct {
	io.ReadCloser

	left int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, errTooLarge
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		return n - 1, errTooLarge
	}
	return n, err
}

// noRedirect is the CheckRedirect of clients. Consul's agents do not redirect;
// what does may be anybody, and net/http would hand on the header with the token.
func noRedirect(*http.Request, []*http.Request) error { return errRedirect }
