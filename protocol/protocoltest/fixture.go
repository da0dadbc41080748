package protocoltest

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// Fixture connects the suite to one adapter.
type Fixture struct {
	// Client returns a client over a new pool of the servers at addrs, each
	// host:port. Run requires Client.
	Client func(addrs ...string) (*Client, error)
	// Read reads one request of a client. It returns an error when r ends, and
	// consumes no byte behind the request. Without Read there are only the cases
	// in which the server does not understand requests, and Server is required.
	Read func(r *bufio.Reader) (Request, error)
	// Server starts a server that answers each call with its text, and returns a
	// function that stops it. The default is a server made of Read.
	Server func() (addr string, stop func() error, err error)
	// Floods are the answers of the protocol that need not end.
	Floods []Flood
	// Numbered says that an answer names its request, so that a client refuses the
	// answer to another one.
	Numbered bool

	// MaxMemory is by how many bytes the heap of the process, in which the servers
	// run too, may grow. The default is 32 MiB.
	MaxMemory int64
	// CallTimeout is the deadline of each call. Most cases wait for some. The
	// default is 250 ms.
	CallTimeout time.Duration
	// Timeout is how long the suite waits for anything else, and how late a call
	// may end. Only a case that fails waits that long. The default is 10 s.
	Timeout time.Duration
}

// Client makes calls over one pool.
type Client struct {
	// Call sends text, which is short and plain, to a server and returns the text
	// of the answer. It may send it again to another server. It must be safe for
	// concurrent use.
	Call func(ctx context.Context, text string) (string, error)
	// Close closes the pool.
	Close func(ctx context.Context) error
}

// Request is a request as a server sees it.
type Request struct {
	Text   string // of the call
	Answer []byte // of a good server: the text again
}

// Flood is an answer that does not end: what Begin returns, and then Repeat again
// and again.
type Flood struct {
	Name   string
	Begin  func(Request) []byte
	Repeat []byte
}

func (f *Fixture) setDefaults() {
	f.MaxMemory = cmp.Or(f.MaxMemory, 32<<20)
	f.CallTimeout = cmp.Or(f.CallTimeout, 250*time.Millisecond)
	f.Timeout = cmp.Or(f.Timeout, 10*time.Second)
	if f.Server == nil && f.Read != nil {
		f.Server = f.echo
	}
}

// echo starts a good server.
func (f *Fixture) echo() (addr string, stop func() error, err error) {
	s, err := listen(f.answering(func(r Request) []byte { return r.Answer }))
	if err != nil {
		return "", nil, err
	}
	return s.addr(), s.close, nil
}

// missing is the reason to skip a case.
func missing(field string) error {
	return fmt.Errorf("%s is not set (%w)", "Fixture."+field, errors.ErrUnsupported)
}
