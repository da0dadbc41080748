package thriftpool

import (
	"bytes"
	"fmt"
)

// diagnose adds to the error of a call what its reply, or the lack of one, says
// about a server that does not speak what the Config says.
func (c *Conn) diagnose(err error) error {
	hint := c.recognize(c.wire.head[:min(c.wire.in, headSize)])
	if hint == "" && c.wire.in == 0 && c.wire.err != nil && !c.answers.knows(c.addr) {
		hint = "this server has never answered: it may " + c.alternatives()
	}
	if hint == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, hint)
}

// alternatives names the likely reasons of a server's silence.
func (c *Conn) alternatives() string {
	s := "expect frames"
	if c.frames {
		s = "expect no frames"
	}
	if c.sock.Raw == c.sock.Conn {
		s += ", TLS"
	}
	return s + ", HTTP or another protocol, or have too many connections"
}

// recognize says what a reply is by its first bytes; "" when it may be one of the
// stack.
func (c *Conn) recognize(head []byte) string {
	const length = lengthSize
	switch {
	case bytes.HasPrefix(head, []byte("HTTP/")), bytes.HasPrefix(head, []byte("<!DO")), bytes.HasPrefix(head, []byte("<htm")):
		return "the server speaks HTTP"
	case c.sock.Raw == c.sock.Conn && len(head) > 2 && (head[0] == 0x15 || head[0] == 0x16) && head[1] == 3:
		return "the server speaks TLS" // an alert, or a handshake
	case c.header != nil:
		return "" // THeader accepts replies of any form
	case c.frames && isMessage(head):
		return "the server answers without frames: set Transport to thrift.NewTTransportFactory()"
	case !c.frames && len(head) > length && head[0] == 0 && isMessage(head[length:]):
		return "the server answers in frames: leave Transport nil"
	default:
		return ""
	}
}

// isMessage reports whether b is the beginning of a message in the binary, compact
// or JSON protocol.
func isMessage(b []byte) bool {
	if len(b) < 2 {
		return false
	}
	return b[0] == 0x80 && b[1] == 1 || b[0] == 0x82 && b[1]&0x1f == 1 || b[0] == '[' && b[1] == '1'
}
