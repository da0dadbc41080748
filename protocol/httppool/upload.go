package httppool

import (
	"io"
	"net/http"
	"sync"
)

// attempt is the copy of a request that one server gets, and its body: one
// allocation for both.
type attempt struct {
	req    http.Request
	upload upload
}

// upload is the body of one attempt. The transport closes it in any case; if
// it has not read anything by then, and nothing was sent, the body can be taken
// back and given to another attempt.
type upload struct {
	conn *Conn
	want int64 // the length that was announced; 0 or less = unknown

	mu sync.Mutex
	// body is nil once it was taken back.
	body io.ReadCloser
	// begun: the transport has read from it. closed: it has closed it. settled:
	// it cannot be taken back any more.
	begun, closed, settled bool
	got                    int64
	broken                 error // of a read, or that its length is not as announced
}

func (u *upload) Read(p []byte) (int, error) {
	u.mu.Lock()
	body := u.body
	u.begun = true
	u.mu.Unlock()
	if body == nil {
		return 0, errGone
	}
	u.conn.patience.pause()
	n, err := body.Read(p)
	u.conn.patience.resume()
	u.mu.Lock()
	u.got += int64(n)
	switch {
	case err == nil:
	case err != io.EOF:
		u.broken = err
	case u.want > 0 && u.got != u.want:
		u.broken = errLength
	}
	u.mu.Unlock()
	return n, err
}

func (u *upload) Close() error {
	u.mu.Lock()
	u.closed = true
	body := u.body
	if !u.begun && !u.settled {
		body = nil // settle closes it
	}
	u.mu.Unlock()
	if body == nil {
		return nil
	}
	return body.Close()
}

// answered says that there is a response: the body is the transport's to close,
// which may still read it.
func (u *upload) answered() {
	u.mu.Lock()
	var left io.ReadCloser
	if u.closed && !u.begun {
		left = u.body
	}
	u.settled = true
	u.mu.Unlock()
	if left != nil {
		_ = left.Close() // the transport, which asked for it, has no use for its error
	}
}

// failed says that there is no response. With back it returns the body if that
// is as new as it was; otherwise it sees to it that the body is closed. The
// transport cannot get at it any more.
func (u *upload) failed(back bool) io.ReadCloser {
	u.mu.Lock()
	body := u.body
	u.body, u.settled = nil, true
	begun, closed := u.begun, u.closed
	u.mu.Unlock()
	switch {
	case back && !begun:
		return body
	case !begun || !closed:
		_ = body.Close() // as above
	}
	return nil
}

// err returns the error with which the body broke off, or nil.
func (u *upload) err() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.broken
}
