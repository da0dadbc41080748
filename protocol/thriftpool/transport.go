package thriftpool

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/apache/thrift/lib/go/thrift"
)

// lengthSize is the size of a frame's length, in bytes.
const lengthSize = 4

// framed is the framed transport of Thrift, for servers that use
// TFramedTransport: each message is one frame, 4 bytes of length and that many
// bytes of payload.
//
// It differs from Apache's in three ways. A request is one Write. A reply that is
// larger than the read buffer is parsed as it arrives, so that a length alone
// allocates nothing. A message must be exactly one frame: reading past its end is
// an error, where Apache's transport waits for the next frame; bytes left after
// the message close the connection, where Apache's hands them to the next call
// (THRIFT-4887).
type framed struct {
	*wire

	conf   *thrift.TConfiguration
	remain int  // bytes of the reply's frame that were not consumed
	await  bool // no byte of the reply's payload was given to the protocol
}

func newFramed(w *wire, conf *thrift.TConfiguration) *framed { return &framed{wire: w, conf: conf} }

// begin forgets the last call and leaves room for the length.
func (f *framed) begin() {
	f.wire.begin()
	f.wbuf = append(f.wbuf, 0, 0, 0, 0)
	f.remain, f.await = 0, false
}

func (f *framed) Write(p []byte) (int, error) {
	f.wbuf = append(f.wbuf, p...)
	return len(p), nil
}

func (f *framed) WriteByte(b byte) error {
	f.wbuf = append(f.wbuf, b)
	return nil
}

func (f *framed) WriteString(s string) (int, error) {
	f.wbuf = append(f.wbuf, s...)
	return len(s), nil
}

// Flush sends the frame. If the frame is larger than the configured maximum,
// Flush returns an error and sends nothing.
func (f *framed) Flush(ctx context.Context) error {
	n, most := len(f.wbuf)-lengthSize, int(f.conf.GetMaxFrameSize())
	if n > most {
		f.wbuf = nil
		return thrift.NewTProtocolExceptionWithType(thrift.SIZE_LIMIT,
			fmt.Errorf("thriftpool: a frame of %d bytes exceeds the maximum of %d", n, most))
	}
	binary.BigEndian.PutUint32(f.wbuf, uint32(n))
	f.await = true
	return f.wire.Flush(ctx)
}

func (f *framed) Read(p []byte) (int, error) {
	if f.remain == 0 {
		if err := f.next(); err != nil {
			return 0, err
		}
	}
	n, err := f.wire.Read(p[:min(len(p), f.remain)])
	f.remain -= n
	return n, err
}

func (f *framed) ReadByte() (byte, error) {
	if f.remain == 0 {
		if err := f.next(); err != nil {
			return 0, err
		}
	}
	b, err := f.wire.ReadByte()
	if err == nil {
		f.remain--
	}
	return b, err
}

// next reads the length of the reply's frame, and all of a frame that fits the
// buffer: if the connection breaks within it, nothing was decoded, and the call
// can be made again.
func (f *framed) next() error {
	if !f.await {
		return thrift.NewTProtocolExceptionWithType(thrift.INVALID_DATA,
			errors.New("thriftpool: the message is longer than its frame"))
	}
	if f.buffered() < lengthSize {
		if err := f.fill(lengthSize); err != nil {
			return err
		}
	}
	n, most := binary.BigEndian.Uint32(f.rbuf[f.r:]), f.conf.GetMaxFrameSize()
	if n == 0 || n > uint32(most) {
		return thrift.NewTProtocolExceptionWithType(thrift.SIZE_LIMIT,
			fmt.Errorf("thriftpool: a frame of %d bytes is not within 1 and %d", n, most))
	}
	if whole := lengthSize + int(n); whole <= readSize && f.buffered() < whole {
		if err := f.fill(whole); err != nil {
			return err
		}
	}
	f.r += lengthSize
	f.remain, f.await = int(n), false
	return nil
}

// RemainingBytes bounds the sizes that the protocol accepts.
func (f *framed) RemainingBytes() uint64 {
	if f.await {
		return thrift.UnknownRemainingBytes
	}
	return uint64(f.remain)
}

// SetTConfiguration implements [thrift.TConfigurationSetter].
func (f *framed) SetTConfiguration(conf *thrift.TConfiguration) { f.conf = conf }

var (
	_ thrift.TTransport           = (*framed)(nil)
	_ thrift.TRichTransport       = (*framed)(nil)
	_ thrift.TConfigurationSetter = (*framed)(nil)
)
