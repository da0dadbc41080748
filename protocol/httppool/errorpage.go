//go:build go1.26

package httppool

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// maxErrorPage is the largest body, in bytes, of a response that is set aside
	// for one from another server.
	maxErrorPage = 64 << 10

	// errorPageTime is how long the body of such a response may take. It has
	// usually arrived together with the header.
	errorPageTime = 10 * time.Millisecond

	// elsewhereTime is how long a request waits for a connection to another server
	// while it holds a response whose body has not ended.
	elsewhereTime = 100 * time.Millisecond
)

// errorPage is the body of a response that will perhaps be repeated elsewhere. A
// goroutine reads it into memory, as far as it comes at once, which frees its
// connection. A reader gets what is there and then reads on.
type errorPage struct {
	rest io.ReadCloser

	mu      sync.Mutex
	changed sync.Cond // data, err or reading
	data    []byte    // that nobody has got yet
	err     error     // what the body ended with
	reading bool      // by the goroutine
	enough  bool      // the goroutine shall stop
	ended   chan struct{}
}

// setAside reads the body of the response into memory and reports whether it is
// there, which frees its connection. Else the response can be read as before.
func setAside(resp *http.Response) bool {
	if _, ok := resp.Body.(io.Writer); ok || resp.ContentLength > maxErrorPage {
		return false
	}
	if resp.Body == http.NoBody {
		return true
	}
	p := &errorPage{rest: resp.Body, reading: true, ended: make(chan struct{})}
	p.changed.L = &p.mu
	resp.Body = p
	go p.read() // ends with the body, or behind what it reads when this returns
	timer := time.NewTimer(errorPageTime)
	defer timer.Stop()
	select {
	case <-p.ended:
	case <-timer.C:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.enough = true
	if !errors.Is(p.err, io.EOF) || len(p.data) > maxErrorPage || p.rest.Close() != nil {
		return false
	}
	resp.Body = io.NopCloser(bytes.NewReader(p.data))
	return true
}

// read runs in its own goroutine.
func (p *errorPage) read() {
	defer close(p.ended)
	buf := make([]byte, 4<<10)
	for {
		n, err := p.rest.Read(buf)
		p.mu.Lock()
		p.data = append(p.data, buf[:n]...)
		p.err = err
		p.reading = err == nil && !p.enough && len(p.data) <= maxErrorPage
		again := p.reading
		p.changed.Broadcast()
		p.mu.Unlock()
		if !again {
			return
		}
	}
}

func (p *errorPage) Read(b []byte) (int, error) {
	p.mu.Lock()
	for len(p.data) == 0 && p.reading {
		p.changed.Wait()
	}
	n, err := copy(b, p.data), p.err
	p.data = p.data[n:]
	p.mu.Unlock()
	switch {
	case n > 0 || len(b) == 0:
		return n, nil
	case err != nil:
		return 0, err
	default:
		return p.rest.Read(b)
	}
}

func (p *errorPage) Close() error { return p.rest.Close() }
