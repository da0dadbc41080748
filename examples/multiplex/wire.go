package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// A frame is its length, the number of the request and the payload. A reply has the
// number of its request, and comes when it is ready: replies may overtake each other.

const (
	headSize = 4 + 8
	longest  = 1 << 20
)

func writeFrame(w io.Writer, id uint64, payload string) error {
	if len(payload) > longest {
		return fmt.Errorf("multiplex: %d bytes are too many for a frame", len(payload))
	}
	b := binary.BigEndian.AppendUint32(make([]byte, 0, headSize+len(payload)), uint32(len(payload)))
	b = binary.BigEndian.AppendUint64(b, id)
	_, err := w.Write(append(b, payload...)) // one write: frames do not mix
	return err
}

func readFrame(r *bufio.Reader) (id uint64, payload string, err error) {
	var head [headSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, "", err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > longest {
		return 0, "", fmt.Errorf("multiplex: a frame of %d bytes", n)
	}
	b := make([]byte, n)
	_, err = io.ReadFull(r, b)
	return binary.BigEndian.Uint64(head[4:]), string(b), err
}
