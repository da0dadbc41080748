package consul

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
)

// chunk is how many bytes of an answer are read at once, at least.
const chunk = 64 << 10

// splitter reads a JSON array of objects and finds where each of them begins and ends.
// It does not look into them: an object ends with the bracket that closes its first
// one, and who decodes it sees whether it is one. What follows the array is ignored, as
// encoding/json does it. It holds no more than a chunk and one object.
type splitter struct {
	from  io.Reader
	buf   []byte // what has been read
	at    int    // of the next byte in buf
	err   error  // of from
	begun bool   // the bracket that opens the array is behind
}

// next moves to the next object, and returns false behind the last one. The object
// before has been passed by object or skip. null is an array without objects, as for
// encoding/json.
func (s *splitter) next() (bool, error) {
	c := s.space()
	switch {
	case s.begun && c == ']':
		return false, nil
	case s.begun && c != ',':
		return false, s.wrong("a comma or the end of the list")
	case !s.begun && c == 'n' && s.has("null"):
		return false, nil
	case !s.begun && c != '[':
		return false, s.wrong("a list")
	}
	s.at++
	c = s.space()
	if !s.begun && c == ']' {
		return false, nil
	}
	if s.begun = true; c != '{' {
		return false, s.wrong("an instance")
	}
	return true, nil
}

// has reports whether the next bytes are those of text.
func (s *splitter) has(text string) bool {
	return s.fill(len(text)) && bytes.HasPrefix(s.buf[s.at:], []byte(text))
}

// peek returns the next n bytes, nil if there are fewer. They are valid until the next
// call.
func (s *splitter) peek(n int) []byte {
	if !s.fill(n) {
		return nil
	}
	return s.buf[s.at : s.at+n]
}

// skip passes the n bytes that peek has returned.
func (s *splitter) skip(n int) { s.at += n }

// object passes the next object and returns it. It is valid until the next call.
func (s *splitter) object() ([]byte, error) {
	depth, quoted := 0, false
	for n := 0; s.fill(n + 1); n++ {
		rest := s.buf[s.at:]
		for ; n < len(rest); n++ {
			switch c := rest[n]; {
			case quoted:
				switch c {
				case '"':
					quoted = false
				case '\\': // what it escapes may be a quotation mark
					n++
				}
			case c == '"':
				quoted = true
			case c == '{' || c == '[':
				depth++
			case c == '}' || c == ']':
				if depth--; depth == 0 {
					object := rest[:n+1]
					s.at += n + 1
					return object, nil
				}
			}
		}
		n-- // all of rest is behind, and an escape may reach over its end
	}
	return nil, s.ended()
}

// space skips white space and returns the byte behind it, which is not passed; 0 at the
// end.
func (s *splitter) space() byte {
	for ; s.fill(1); s.at++ {
		switch c := s.buf[s.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// fill reads until n bytes are there, and returns false if there are fewer.
func (s *splitter) fill(n int) bool {
	for len(s.buf)-s.at < n {
		if s.err != nil {
			return false
		}
		if s.at > 0 {
			s.buf = append(s.buf[:0], s.buf[s.at:]...)
			s.at = 0
		}
		s.buf = slices.Grow(s.buf, chunk)
		var read int
		read, s.err = s.from.Read(s.buf[len(s.buf):cap(s.buf)])
		s.buf = s.buf[:len(s.buf)+read]
	}
	return true
}

// wrong returns an error about what is next in place of what is due.
func (s *splitter) wrong(due string) error {
	if s.fill(1) {
		return fmt.Errorf("the answer has %q where %s is due", s.buf[s.at], due)
	}
	return s.ended()
}

// ended returns why there are no more bytes.
func (s *splitter) ended() error {
	if errors.Is(s.err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return s.err
}
