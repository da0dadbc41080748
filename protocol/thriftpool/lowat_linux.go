package thriftpool

import (
	"net"
	"syscall"
)

// lowWater returns a function that sets how many bytes must have arrived before
// a wait for them ends (SO_RCVLOWAT, see socket(7)), or nil if nc cannot do that.
//
// Apache's servers write the length of a frame and its payload apart. A client
// that wakes up for the length finds nothing that it could use, and waits again;
// for a lone caller that is some 15 % of the time and the processor time of a
// call. So the wait for a reply is one for more than a length. What follows in
// the same reply may be a single byte, and is waited for as such.
func lowWater(nc net.Conn) func(n int) {
	tc, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	rc, err := tc.SyscallConn()
	if err != nil {
		return nil
	}
	var n int
	set := func(fd uintptr) {
		// On a broken connection it fails, as the next read does.
		_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, n)
	}
	return func(bytes int) {
		n = bytes
		_ = rc.Control(set)
	}
}
