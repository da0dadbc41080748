package consul

import (
	"errors"
	"fmt"
	"io"
	"net/http"
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
	return resp, nil
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
