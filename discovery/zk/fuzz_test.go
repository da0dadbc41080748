package zk

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"
)

// tape is a connection whose server sends in, and takes everything.
type tape struct {
	net.Conn
	in *bytes.Reader
}

func (c tape) Read(b []byte) (int, error)       { return c.in.Read(b) }
func (tape) Write(b []byte) (int, error)        { return len(b), nil }
func (tape) SetReadDeadline(time.Time) error    { return nil }
func (tape) SetWriteDeadline(t time.Time) error { return nil }
func (tape) Close() error                       { return nil }

// FuzzWire has a server that sends any bytes to a client that has asked for a list
// and for data. What the client gets is what the server sent, but for the events in
// place of replies; and a list that the client asked for has room in its packet.
func FuzzWire(f *testing.F) {
	greeting := packet(int32(0), int32(10_000), int64(1), "0123456789abcdef")
	for _, rest := range [][]byte{
		nil, packet(int32(1), int64(7), int32(0), int32(2), "a", "b", int64(0)), packet(int32(2), int64(7), int32(0), "data", int64(0)),
		packet(int32(1), int64(7), int32(-101)), packet(int32(1), int64(7), int32(0), int32(9), "a"), reply(-11, ""),
		{0, 0, 0, 15, 1},
	} {
		f.Add(append(bytes.Clone(greeting), rest...))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		c := tape{in: bytes.NewReader(in)}
		w := newWire(c, c, time.Now().Add(time.Minute), time.Minute, func(error) {}, new(inheritance))
		for _, b := range [][]byte{
			packet(int32(0), int64(0), int32(10_000), int64(0), ""),
			append(packet(int32(1), int32(opGetChildren), "/a"), 1),
			append(packet(int32(2), int32(opGetData), "/a/b"), 1),
		} {
			if _, err := w.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		w.remove([]removal{{"/a", watchChildren}})
		var got bytes.Buffer
		_, _ = io.Copy(&got, struct{ io.Reader }{w})
		if got.Len() > len(in)+100 { // an event in place of each reply to a removal
			t.Fatalf("%d bytes of %d", got.Len(), len(in))
		}
		for first, rest := true, got.Bytes(); len(rest) >= 4; first = false {
			size := int(binary.BigEndian.Uint32(rest))
			if size < 16 || size > maxPacket || first && size > maxHandshake {
				t.Fatalf("a packet of %d bytes", size)
			}
			if len(rest) < 4+size {
				break // the connection ended within it
			}
			body := rest[4 : 4+size]
			if number := binary.BigEndian.Uint32(body); !first && size >= 20 && (number == 1 || number == 2) && firstOf(got.Bytes(), number) == len(got.Bytes())-len(rest) {
				least := map[uint32]int{1: 4, 2: 1}[number]
				if n := int(int32(binary.BigEndian.Uint32(body[16:]))); n > (size-20)/least {
					t.Fatalf("a list of %d in a packet of %d bytes", n, size)
				}
			}
			rest = rest[4+size:]
		}
	})
}

// firstOf returns where the first packet behind the handshake is that has the number.
func firstOf(b []byte, number uint32) int {
	for at := 4 + int(binary.BigEndian.Uint32(b)); at+8 <= len(b); at += 4 + int(binary.BigEndian.Uint32(b[at:])) {
		if binary.BigEndian.Uint32(b[at+4:]) == number {
			return at
		}
	}
	return -1
}
