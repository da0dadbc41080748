package main

import (
	"fmt"
	"io"
	"strconv"

	"github.com/minicaptain/multi_connection_pool/protocol/netpool"
)

// Error is a refusal by the server, such as "WRONGTYPE ...".
type Error string

func (e Error) Error() string { return "redis: " + string(e) }

// longest bounds what a server can make us allocate.
const longest = 512 << 20

// write writes a command as an array of strings.
func write(c *netpool.Conn, args []string) {
	fmt.Fprintf(c, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(c, "$%d\r\n%s\r\n", len(a), a)
	}
}

// read reads a reply: a string, an int64, nil, an Error, or a []any of these.
func read(c *netpool.Conn) (any, error) {
	line, err := c.ReadString('\n')
	if err != nil {
		return nil, err
	}
	if len(line) < 3 {
		return nil, noReply("line %q", line)
	}
	kind, text := line[0], line[1:len(line)-2]
	switch kind {
	case '+':
		return text, nil
	case '-':
		return Error(text), nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil:
		return nil, noReply("line %q", line)
	case kind == ':':
		return n, nil
	case n == -1: // no string, no array
		return nil, nil //nolint:nilnil // it is the reply
	case n < 0 || n > longest:
		return nil, noReply("length %d", n)
	case kind == '$':
		return readString(c, int(n))
	case kind == '*':
		return readArray(c, int(n))
	default:
		return nil, noReply("line %q", line)
	}
}

// noReply is the error for bytes that make no sense: where the next reply begins
// is unknown.
func noReply(format string, args ...any) error {
	return fmt.Errorf("redis: not a reply: "+format+": %w", append(args, netpool.ErrOutOfSync)...)
}

func readString(c *netpool.Conn, n int) (any, error) {
	b := make([]byte, n+2)
	if _, err := io.ReadFull(c, b); err != nil {
		return nil, err
	}
	if string(b[n:]) != "\r\n" {
		return nil, noReply("string without its end %q", b)
	}
	return string(b[:n]), nil
}

func readArray(c *netpool.Conn, n int) (any, error) {
	var all []any
	for range n {
		one, err := read(c)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}
