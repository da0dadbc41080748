//go:build !linux

package thriftpool

import "net"

// lowWater returns nil: only Linux can make a wait for bytes end no sooner than
// when a number of them has arrived.
func lowWater(net.Conn) func(n int) { return nil }
