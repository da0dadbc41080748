package thriftpool

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/internal/leak"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

// tape is a connection that plays in, at most chunk bytes a read, and records
// what is written.
type tape struct {
	net.Conn

	in     []byte
	chunk  int
	writes [][]byte
	err    error // after in; nil = io.EOF
}

func (c *tape) Read(p []byte) (int, error) {
	if len(c.in) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		return 0, io.EOF
	}
	if c.chunk > 0 && len(p) > c.chunk {
		p = p[:c.chunk]
	}
	n := copy(p, c.in)
	c.in = c.in[n:]
	return n, nil
}

func (c *tape) Write(p []byte) (int, error) {
	c.writes = append(c.writes, bytes.Clone(p))
	return len(p), nil
}

// awaiting returns a transport whose request was sent and which awaits in.
func awaiting(in []byte, chunk int, conf *thrift.TConfiguration) *framed {
	f := newFramed(newWire(&tape{in: in, chunk: chunk}), conf)
	f.begin()
	f.await = true
	f.wbuf = f.wbuf[:0]
	return f
}

func frame(payload string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(payload))), payload...)
}

func TestARequestIsOneWriteWithItsLengthInFront(t *testing.T) {
	c := &tape{}
	f := newFramed(newWire(c), nil)
	for range 3 {
		f.begin()
		_, _ = f.Write([]byte("he"))
		_, _ = f.WriteString("ll")
		_ = f.WriteByte('o')
		if err := f.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.writes) != 3 {
		t.Fatalf("%d writes for 3 requests", len(c.writes))
	}
	for _, w := range c.writes {
		if !bytes.Equal(w, frame("hello")) {
			t.Errorf("wrote %q", w)
		}
	}
	if !f.flushed || f.out != 9 {
		t.Errorf("flushed %v, %d bytes out", f.flushed, f.out)
	}
}

func TestApachesFramedTransportOverOursMakesOneWrite(t *testing.T) {
	c := &tape{}
	w := newWire(c)
	tf := thrift.NewTFramedTransportConf(w, &thrift.TConfiguration{})
	w.begin()
	_, _ = tf.WriteString("hello")
	if err := tf.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(c.writes) != 1 || !bytes.Equal(c.writes[0], frame("hello")) {
		t.Errorf("wrote %q", c.writes)
	}
}

func TestAFrameIsReadInChunksOfAnySize(t *testing.T) {
	payload := strings.Repeat("0123456789", 3000) // beyond the buffer
	for _, chunk := range []int{1, 2, 3, 4, 5, 7, readSize - 1, readSize, readSize + 1, 0} {
		f := awaiting(frame(payload), chunk, nil)
		b, err := f.ReadByte()
		if err != nil || b != '0' {
			t.Fatalf("chunk %d: first byte %q, %v", chunk, b, err)
		}
		if n := f.RemainingBytes(); n != uint64(len(payload)-1) {
			t.Errorf("chunk %d: %d bytes remain", chunk, n)
		}
		got := make([]byte, len(payload)-1)
		if _, err := io.ReadFull(f, got); err != nil || string(got) != payload[1:] {
			t.Fatalf("chunk %d: %v", chunk, err)
		}
		if f.remain != 0 || f.buffered() != 0 {
			t.Errorf("chunk %d: %d of the frame and %d beyond it are left", chunk, f.remain, f.buffered())
		}
	}
}

func TestASmallFrameIsDecodedWholeOrNotAtAll(t *testing.T) {
	for _, size := range []int{1, 100, readSize - lengthSize, readSize - lengthSize + 1, 3 * readSize} {
		in := frame(strings.Repeat("x", size))
		f := awaiting(in[:len(in)-1], 0, nil)
		n, err := io.ReadFull(f, make([]byte, size))
		if small := size <= readSize-lengthSize; (n == 0) != small || small != f.await {
			t.Errorf("of a frame of %d bytes without the last: %d bytes, await %v, %v", size, n, f.await, err)
		}
	}
}

func TestAFrameOfAnImpossibleLengthIsRefused(t *testing.T) {
	conf := &thrift.TConfiguration{MaxFrameSize: 100}
	for _, length := range []uint32{0, 101, 1 << 31, 1<<32 - 1} {
		in := append(binary.BigEndian.AppendUint32(nil, length), make([]byte, 200)...)
		_, err := awaiting(in, 0, conf).Read(make([]byte, 10))
		if pe, ok := errors.AsType[thrift.TProtocolException](err); !ok || pe.TypeId() != thrift.SIZE_LIMIT {
			t.Errorf("length %d: %v", length, err)
		}
	}
	if _, err := awaiting(append(binary.BigEndian.AppendUint32(nil, 100), make([]byte, 100)...), 0, conf).ReadByte(); err != nil {
		t.Errorf("a frame of the maximal length: %v", err)
	}
}

func TestReadingPastTheFrameFailsWithoutWaitingForTheNext(t *testing.T) {
	f := awaiting(append(frame("ab"), frame("cd")...), 0, nil)
	if _, err := io.ReadFull(f, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	if n, err := f.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes of another frame", n)
	}
	if _, err := f.ReadByte(); err == nil {
		t.Error("read a byte of another frame")
	}
}

func TestARequestBeyondTheMaximumIsNotSent(t *testing.T) {
	c := &tape{}
	f := newFramed(newWire(c), &thrift.TConfiguration{MaxFrameSize: 10})
	f.begin()
	_, _ = f.Write(make([]byte, 11))
	if err := f.Flush(t.Context()); err == nil {
		t.Error("no error")
	}
	if len(c.writes) != 0 || f.flushed {
		t.Errorf("sent %d writes", len(c.writes))
	}
	f.begin()
	_, _ = f.Write(make([]byte, 10))
	if err := f.Flush(t.Context()); err != nil {
		t.Errorf("a request of the maximal size: %v", err)
	}
}

func TestTheBufferOfALargeRequestIsNotKept(t *testing.T) {
	c := &tape{}
	f := newFramed(newWire(c), nil)
	for _, size := range []int{1 << 20, 10, retain - lengthSize} {
		f.begin()
		_, _ = f.Write(make([]byte, size))
		if err := f.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if cap(f.wbuf) > retain {
			t.Errorf("after %d bytes a buffer of %d is kept", size, cap(f.wbuf))
		}
	}
	if len(c.writes) != 3 || len(c.writes[0]) != 1<<20+lengthSize {
		t.Errorf("%d writes", len(c.writes))
	}
}

func TestAnUnframedRequestLargerThanTheBufferIsSentInParts(t *testing.T) {
	c := &tape{}
	w := newWire(c)
	w.begin()
	want := bytes.Repeat([]byte("0123456789abcdef"), 3*retain/16)
	for p := want; len(p) > 0; p = p[1000:] {
		if len(p) < 1000 {
			_, _ = w.Write(p)
			break
		}
		_, _ = w.Write(p[:1000])
	}
	if w.flushed {
		t.Error("complete before Flush")
	}
	if err := w.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := bytes.Join(c.writes, nil); !bytes.Equal(got, want) || w.out != len(want) || !w.flushed {
		t.Errorf("sent %d bytes in %d writes of %d", len(got), len(c.writes), len(want))
	}
}

func TestWhoeverReadsHasFlushed(t *testing.T) {
	c := &tape{in: []byte("x")}
	w := newWire(c)
	w.begin()
	_, _ = w.WriteString("question")
	if _, err := w.ReadByte(); err != nil || len(c.writes) != 1 {
		t.Errorf("%d writes before the answer, %v", len(c.writes), err)
	}
}

func TestATimeoutIsHiddenFromProtocolsThatWouldSpinOnIt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w := newWire(&tape{err: os.ErrDeadlineExceeded})
	proto := thrift.NewTBinaryProtocolConf(w, nil)
	w.begin()
	_, err := proto.ReadI32(deadlined{ctx})
	if err == nil || !errors.Is(w.err, os.ErrDeadlineExceeded) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, kept %v", err, w.err)
	}
}

func FuzzFramedRead(f *testing.F) {
	reply := message(f, func(p thrift.TProtocol) {
		_ = p.WriteMessageBegin(f.Context(), "echo", thrift.REPLY, 1)
		s := "hello"
		r := &echo.EchoEchoResult{Success: &s}
		_ = r.Write(f.Context(), p)
	})
	f.Add(frame(reply), 1)
	f.Add(frame(reply), 0)
	f.Add(append(frame(reply), 'x'), 3)
	f.Add([]byte{0, 0, 0, 0}, 1)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1}, 1)
	f.Add([]byte{0, 0, 0, 4, 1}, 1)
	f.Fuzz(func(t *testing.T, in []byte, chunk int) {
		conf := &thrift.TConfiguration{MaxFrameSize: 1 << 16}
		// What the bytes say, by the format's definition.
		var payload []byte
		whole := false
		if len(in) >= lengthSize {
			if n := int(binary.BigEndian.Uint32(in)); n > 0 && n <= 1<<16 {
				whole = len(in)-lengthSize >= n
				if whole || lengthSize+n > readSize { // a small one is given whole or not at all
					payload = in[lengthSize:min(len(in), lengthSize+n)]
				}
			}
		}

		tr := awaiting(bytes.Clone(in), chunk, conf)
		var got []byte
		buf := make([]byte, 1+len(in)%13)
		for {
			n, err := tr.Read(buf)
			got = append(got, buf[:n]...)
			if err != nil {
				break
			}
		}
		if !bytes.Equal(got, payload) {
			t.Errorf("read %q, the frame holds %q", got, payload)
		}
		if whole != (tr.remain == 0 && !tr.await && tr.err == nil) && len(payload) > 0 {
			t.Errorf("whole %v, but %d remain, await %v, %v", whole, tr.remain, tr.await, tr.err)
		}

		// The protocol above neither panics nor reads beyond the frame.
		tr = awaiting(bytes.Clone(in), chunk, conf)
		p := thrift.NewTBinaryProtocolConf(tr, conf)
		if err := thrift.NewTStandardClient(p, p).Recv(t.Context(), p, 1, "echo", &echo.EchoEchoResult{}); err == nil {
			if used := len(in) - len(tr.nc.(*tape).in) - tr.buffered(); used > lengthSize+len(payload) {
				t.Errorf("used %d bytes of a frame of %d", used, len(payload))
			}
		}
	})
}

// FuzzReply has a server that answers with any bytes, in a frame or without: no
// panic, and no more memory than the answer is worth.
func FuzzReply(f *testing.F) {
	reply := message(f, func(p thrift.TProtocol) {
		_ = p.WriteMessageBegin(f.Context(), "send", thrift.REPLY, 1)
		_ = numbered{3, 3}.Write(f.Context(), p)
	})
	f.Add([]byte(reply))
	f.Add([]byte(reply[:len(reply)-9]))
	f.Add([]byte("\x80\x01\x00\x02\x00\x00\x00\x04send\x00\x00\x00\x01\x0c\x00\x00\x0f\x00\x02\x0a\x00\x00\x01\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		conf := &thrift.TConfiguration{}
		for name, tr := range map[string]thrift.TTransport{
			"framed": awaiting(frame(string(in)), 1000, conf), "not framed": newWire(&tape{in: bytes.Clone(in)}),
		} {
			p := &limits{TProtocol: thrift.NewTBinaryProtocolConf(tr, conf), most: 1 << 10}
			if n := leak.Allocated(func() {
				_ = thrift.NewTStandardClient(p, p).Recv(t.Context(), p, 1, "send", &echo.EchoSendResult{})
			}); n > leak.Bound(len(in)) {
				t.Errorf("%s: %d bytes were allocated for %d", name, n, len(in))
			}
		}
	})
}
