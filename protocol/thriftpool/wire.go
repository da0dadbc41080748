package thriftpool

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/apache/thrift/lib/go/thrift"
)

const (
	// readSize is the size of a connection's read buffer, in bytes: a message
	// of a 4 KB string arrives in one read.
	readSize = 8 << 10
	// retain is the size of the largest write buffer, in bytes, that a connection
	// keeps between calls.
	retain = 64 << 10
	// headSize is how much of a reply is kept to recognize what it is when it is
	// not understood, in bytes.
	headSize = 16
)

// wire is the bottom of every stack: a TTransport over a net.Conn with a buffer
// on each side. It records how many bytes of a call went out and came in, and the
// first error of the connection. The rules of retrying and discarding use that
// record, so they hold for any protocol and transport above.
//
// wire is the base transport of the user's factory. It collects writes until
// Flush, so that Apache's framed transport, which writes length and payload
// separately, sends one segment instead of two. wire is a [thrift.TRichTransport]
// and needs no TBufferedTransport above it.
type wire struct {
	nc net.Conn

	rbuf []byte // rbuf[r:w] was read and not consumed
	r, w int
	wbuf []byte // was written and not flushed

	// waitFor, if not nil, sets how many bytes end the wait for a reply;
	// waitsOne means that it is set to one. See lowWater.
	waitFor  func(n int)
	waitsOne bool

	out, in int  // bytes of this call that the connection took and gave
	size    int  // bytes of this call that the connection was to take
	flushed bool // the request left completely
	err     error

	head [headSize]byte // the first bytes that this call received; in counts them
}

func newWire(nc net.Conn) *wire { return &wire{nc: nc, rbuf: make([]byte, readSize)} }

// begin forgets the last call.
func (w *wire) begin() {
	w.wbuf = w.wbuf[:0]
	w.out, w.in, w.size, w.flushed, w.err = 0, 0, 0, false, nil
	if w.waitFor != nil && w.waitsOne {
		w.waitFor(lengthSize + 1)
		w.waitsOne = false
	}
}

// buffered counts bytes that were received and not consumed.
func (w *wire) buffered() int { return w.w - w.r }

// fail keeps the first error of the connection and returns the error for the
// protocol.
func (w *wire) fail(err error) error {
	if w.err == nil {
		w.err = err
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return &expired{err}
	}
	return err
}

// expired hides from Apache's protocols that an error is a timeout. After a
// timeout, while the context has time left, they read again at once, and would
// spin on a connection past its deadline.
type expired struct{ err error }

func (e *expired) Error() string { return e.err.Error() }
func (e *expired) Unwrap() error { return e.err }
func (e *expired) Timeout() bool { return false }

func (w *wire) Read(p []byte) (int, error) {
	if w.r == w.w {
		if len(p) >= len(w.rbuf) {
			return w.receive(p)
		}
		if err := w.fill(1); err != nil {
			return 0, err
		}
	}
	n := copy(p, w.rbuf[w.r:w.w])
	w.r += n
	return n, nil
}

func (w *wire) ReadByte() (byte, error) {
	if w.r == w.w {
		if err := w.fill(1); err != nil {
			return 0, err
		}
	}
	b := w.rbuf[w.r]
	w.r++
	return b, nil
}

// fill blocks until at least n bytes are buffered; n is at most readSize.
func (w *wire) fill(n int) error {
	if w.r > 0 {
		w.w = copy(w.rbuf, w.rbuf[w.r:w.w])
		w.r = 0
	}
	for w.w < n {
		m, err := w.receive(w.rbuf[w.w:])
		w.w += m
		if err != nil {
			return err
		}
	}
	return nil
}

// receive reads at least one byte into p.
func (w *wire) receive(p []byte) (int, error) {
	if len(w.wbuf) > 0 { // the server cannot answer what was not sent
		if err := w.send(); err != nil {
			return 0, err
		}
	}
	if w.waitFor != nil && w.in > 0 && !w.waitsOne {
		w.waitFor(1) // the rest of a reply may be one byte
		w.waitsOne = true
	}
	for range 100 {
		n, err := w.nc.Read(p)
		if n > 0 {
			if w.in < headSize {
				copy(w.head[w.in:], p[:n])
			}
			w.in += n
			return n, nil // the next read returns an error that came with the bytes
		}
		if err != nil {
			return 0, w.fail(err)
		}
	}
	return 0, w.fail(io.ErrNoProgress)
}

func (w *wire) Write(p []byte) (int, error) {
	w.wbuf = append(w.wbuf, p...)
	return len(p), w.spill()
}

func (w *wire) WriteByte(b byte) error {
	w.wbuf = append(w.wbuf, b)
	return w.spill()
}

func (w *wire) WriteString(s string) (int, error) {
	w.wbuf = append(w.wbuf, s...)
	return len(s), w.spill()
}

// spill sends what was written if it is more than a buffer may hold.
func (w *wire) spill() error {
	if len(w.wbuf) <= retain {
		return nil
	}
	return w.send()
}

// send writes the buffer to the connection in one Write.
func (w *wire) send() error {
	w.size += len(w.wbuf)
	n, err := w.nc.Write(w.wbuf)
	w.out += n
	if err != nil && n == len(w.wbuf) {
		w.flushed = true // the server may have all of it
	}
	if cap(w.wbuf) > retain {
		w.wbuf = nil
	}
	w.wbuf = w.wbuf[:0]
	if err != nil {
		return w.fail(err)
	}
	return nil
}

func (w *wire) Flush(context.Context) error {
	if len(w.wbuf) > 0 {
		if err := w.send(); err != nil {
			return err
		}
	}
	w.flushed = true
	return nil
}

// RemainingBytes is unknown: the message has no frame here.
func (w *wire) RemainingBytes() uint64 { return thrift.UnknownRemainingBytes }

// Open does nothing: a wire is open from the beginning.
func (w *wire) Open() error { return nil }

// IsOpen reports whether the connection has not failed in this call.
func (w *wire) IsOpen() bool { return w.err == nil }

func (w *wire) Close() error { return w.nc.Close() }

var (
	_ thrift.TTransport     = (*wire)(nil)
	_ thrift.TRichTransport = (*wire)(nil)
)
