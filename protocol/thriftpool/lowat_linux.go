package thriftpool

import (
	"net"
	"syscall"
)

// lowWater returns a function that sets how many bytes must have arrived before
// a wait for them ends (SO_RCVLOWAT, see socket(7)), or nil if nc cannot do that.
//
// Apache's servers write the length of a frame and its payload separately. A
// client that wakes up for the length finds nothing to use, and waits again: for a
// single caller, 15 % of the time and the processor time of a call. So the first
// wait for a reply is for more than a length. The rest of a reply may be one byte,
// so further waits are for one.
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
